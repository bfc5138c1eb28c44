"""The study of experiments/schemes: every arm is a preset that can be run, and the fly's verdicts are a fitness."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evolve_llm import Candidate, Problem
from evolve_llm.scheme.registry import imported
from evolve_llm.scheme.toolbox import build
from evolve_llm.study.spec import read_study
from evolve_llm.testing.checking import contract_of, findings

FOLDER = Path(__file__).parents[2] / "experiments" / "schemes"


@pytest.fixture(autouse=True)
def beside_the_study() -> Iterator[None]:
    """Modules of the folder can be named, as from the folder itself, and are forgotten afterwards."""
    path = list(sys.path)
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path[:] = path
    sys.modules.pop("fly_verdicts", None)


def test_every_arm_can_be_run_and_has_its_line_in_the_preregistration() -> None:
    study = read_study(FOLDER / "study.toml")
    text = (FOLDER / "PREREGISTRATION.md").read_text("utf-8")
    for arm in study.arms:
        assert build(arm.preset).preset.sampling.max_tokens == 40
        if arm is not study.arms[0]:
            (said,) = re.findall(rf"^\| `{re.escape(arm.name)}`[^|]*\| ([+−0])", text, re.MULTILINE)
            assert said.replace("−", "-") == arm.expect
    assert len(study.contrasts()) == len(study.arms) - 1


def test_the_verdicts_of_a_chain_are_votes_and_no_call() -> None:
    own_verdicts = imported("fly_verdicts:own_verdicts")
    chains = ("a5780.b9932B", "a5780A", "", "nonsense")
    members = [Candidate("p", 0, slot, "sample", text) for slot, text in enumerate(chains)]
    for _ in range(2):  # a survivor's verdicts are not counted twice
        values = asyncio.run(own_verdicts(Problem("p", "a5037;b9372;"), members, None))
        assert values == [(1.0,), (1.0,), (0.0,), (0.0,)]
        assert [one.evidence["own_verdicts"] for one in members] == [[0.0, 1.0], [1.0], [], []]


def test_the_verdicts_keep_the_contract_of_a_fitness() -> None:
    _, contract = contract_of("fly_verdicts:own_verdicts", "evaluate")
    assert [one.detail for one in findings(contract) if one.outcome == "broken"] == []
