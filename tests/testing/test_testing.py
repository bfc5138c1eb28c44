"""The toolkit for tests is itself tested: its strategies draw what they promise, and it is optional."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import find, given, settings

from evolve_llm import Candidate, Preset, Request
from evolve_llm.backends.base import Backend
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.request import Prompt, Sampling
from evolve_llm.scheme.toolbox import build
from evolve_llm.testing import Behaviour, Ledger, Reordering, behaviours, populations, presets


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_without_hypothesis_there_is_one_clear_error() -> None:
    found = run("import sys; sys.modules['hypothesis'] = None; import evolve_llm.testing")
    assert found.stderr.strip().splitlines()[-1] == (
        "ImportError: evolve_llm.testing needs hypothesis, which is not installed: pip install 'evolve-llm[check]'"
    )


def test_nothing_else_imports_it() -> None:
    code = (
        "import sys; from evolve_llm import evolve, Run, Session; import evolve_llm_operators.selection;"
        " print('hypothesis' in sys.modules or 'pytest' in sys.modules)"
    )
    assert run(code).stdout.strip() == "False"


@settings(max_examples=60)
@given(preset=presets())
def test_every_drawn_preset_can_be_built(preset: Preset) -> None:
    scheme = build(preset)
    assert preset.parents <= preset.population
    assert sum(one.probability for one in scheme.choices) == pytest.approx(1.0)


@pytest.mark.parametrize("informed", [False, True])
def test_presets_are_blind_or_informed_on_request(informed: bool) -> None:
    @settings(max_examples=20)
    @given(preset=presets(informed=informed))
    def check(preset: Preset) -> None:
        assert build(preset).plans_ahead is not informed

    check()


def test_the_hard_cases_are_within_reach() -> None:
    def tied(members: list[Candidate]) -> bool:
        return len(members) > 2 and len({one.fitness.values for one in members}) == 1

    assert find(populations(), tied)
    assert find(
        populations(failed=True), lambda members: len(members) > 1 and all(one.failed for one in members)
    )
    assert find(presets(), lambda one: one.parents == one.population > 1)
    assert find(presets(), lambda one: "reproduce" in {choice.alias for choice in build(one).choices})
    assert find(behaviours(), lambda one: one.fail == 1.0)


def test_behaviours_depend_on_the_whole_request() -> None:
    behaviour = Behaviour()
    request = Request("p", Address(0, 0, "vary", 0), Prompt.user("a"), Sampling(), 1)
    others = [
        Request("p", Address(0, 1, "vary", 0), request.prompt, request.sampling, 1),
        replace(request, prompt=Prompt.user("b")),
        replace(request, seed=2),
    ]
    assert behaviour(request) == behaviour(request)
    assert len({behaviour(one) for one in (request, *others)}) == 4
    assert Behaviour(salt=1)(request) != behaviour(request)


def test_the_models_keep_the_contract_of_backends() -> None:
    for model in (Ledger(Scripted(Behaviour())), Reordering(Behaviour())):
        assert isinstance(model, Backend)
    with pytest.raises(ValueError, match="order must be one of first, last, any, starve, got 'random'"):
        Reordering(Behaviour(), order="random")  # type: ignore[arg-type]
