"""experiments/selection_schemes: its study files, a cut of them run again, and what is measured beside the report."""

from __future__ import annotations

import asyncio
import importlib
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.scheme.plan import plan_generation, plan_initial
from evolve_llm.scheme.preset import load_preset
from evolve_llm.scheme.scheme import Scheme
from evolve_llm.scheme.toolbox import build
from evolve_llm.study.run import carry_out
from evolve_llm.study.spec import Arm, read_study

FOLDER = Path(__file__).parents[2] / "experiments" / "selection_schemes"
FLY = FOLDER.parent / "fruit_fly"
FILES = {"study": 4, "study_k2": 2, "pilot": 4, "study_hard": 4, "study_hard_k2": 2}
"""The study files with their K."""
N, T = 16, 6


@pytest.fixture(scope="module", autouse=True)
def no_modules_left_behind() -> Iterator[None]:
    """Folders of experiments share short module names; what is imported here must not shadow another's."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        file = str(getattr(module, "__file__", None))
        if name != __name__ and (str(FOLDER) in file or str(FLY) in file):
            del sys.modules[name]


def of(name: str) -> ModuleType:
    """A module of the experiment, or of the fly it runs on."""
    for one in (FLY, FOLDER):
        if str(one) not in sys.path:
            sys.path.insert(0, str(one))
    return importlib.import_module(name)


def arms_of(name: str) -> dict[str, Arm]:
    """The arms of a study file, by scheme."""
    return {arm.scheme: arm for arm in read_study(FOLDER / f"{name}.toml").arms}


def scheme_of(name: str, file: str = "study") -> Scheme:
    """One arm, built by the product."""
    return build(arms_of(file)[name].preset)


def populations(scheme: Scheme, seed: int) -> list[list[Candidate]]:
    """The pedigree that a blind scheme plans for one problem, without texts."""
    members = [Candidate("p", 0, plan.slot, plan.alias) for plan in plan_initial(N)]
    found = [members]
    for generation in range(1, T):
        plans = plan_generation(
            scheme.toolbox,
            scheme.choices,
            [one.uid for one in members],
            generation=generation,
            n=N,
            seed=seed,
            problem="p",
        )
        members = [Candidate("p", generation, plan.slot, plan.alias, parents=plan.parents) for plan in plans]
        found.append(members)
    return found


def line(scheme: str, problem: str, seed: int, value: float, **other: Any) -> dict[str, Any]:
    """A row of the table with one outcome that matters."""
    row = {"K": 4, "scheme": scheme, "problem": problem, "seed": seed, "first": "same", "pass@1": value}
    return {**row, "by generation": [0.5, value], **other}


# ---------------------------------------------------------------- the arms


@pytest.mark.parametrize(("name", "parents"), FILES.items())
def test_arms_differ_in_how_parents_are_chosen_and_in_nothing_else(name: str, parents: int) -> None:
    arms = arms_of(name)
    assert next(iter(arms)) == "uniform", "the first arm is the baseline"
    plain = load_preset("rsa")
    for arm in arms.values():
        preset = arm.preset
        assert (preset.population, preset.generations, preset.parents) == (N, T, parents), arm.name
        assert (preset.finish, preset.vary, preset.replace) == (plain.finish, plain.vary, plain.replace)
    assert len({str(arm.preset.select) for arm in arms.values()}) == len(arms)
    assert sum(arm.null for arm in arms.values()) == (name != "study_k2")


@pytest.mark.parametrize(
    ("one", "other"), [("study", "study_k2"), ("study", "study_hard"), ("study", "pilot")]
)
def test_an_arm_is_the_same_scheme_in_every_file(one: str, other: str) -> None:
    ours, theirs = arms_of(one), arms_of(other)
    shared = [name for name in theirs if name in ours]
    assert len(shared) == len(theirs)
    for name in shared:
        assert ours[name].preset.plain() | {"parents": 0} == theirs[name].preset.plain() | {"parents": 0}, (
            name
        )


def test_the_null_arm_draws_other_parents_of_the_same_kind() -> None:
    null, uniform = scheme_of("uniform again"), scheme_of("uniform")
    ours, theirs = populations(null, 0)[1], populations(uniform, 0)[1]
    assert [one.parents for one in ours] != [one.parents for one in theirs]
    assert all(len(set(one.parents)) == 4 for one in ours)


# ---------------------------------------------------------------- the committed results


@pytest.mark.slow
@pytest.mark.parametrize("table", ["study", "hard"])
def test_a_cut_of_the_study_gives_the_committed_numbers(tmp_path: Path, table: str) -> None:
    """The first problems of some arms, run by the product in one study: every number of the committed table."""
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    rows = of("rows")
    cut, arms = 2, ("uniform", "tournament", "diverse")
    found = []
    with of("in_batches").in_batches():
        for name in ("study", "study_k2") if table == "study" else ("study_hard", "study_hard_k2"):
            study = read_study(FOLDER / f"{name}.toml", limit=cut)
            study = replace(study, arms=tuple(arm for arm in study.arms if arm.scheme in arms))
            asyncio.run(carry_out(study, tmp_path / name))
            found += rows.rows_of(study, tmp_path / name)
    rows.write(tmp_path / "cut.csv.gz", found)
    problems = {one["problem"] for one in found}
    committed = [
        one
        for one in rows.read(rows.RESULTS / f"{table}.csv.gz")
        if one["scheme"] in arms and one["problem"] in problems
    ]
    assert len(committed) == 2 * cut * len(arms)

    def order(one: dict[str, Any]) -> tuple[Any, ...]:
        return one["K"], one["scheme"], one["problem"]

    assert sorted(rows.read(tmp_path / "cut.csv.gz"), key=order) == sorted(committed, key=order)


# ---------------------------------------------------------------- effective ancestors


def test_a_balanced_design_keeps_all_ancestors() -> None:
    for file in ("study", "study_k2"):
        found = of("measures").effective_ancestors(populations(scheme_of("balanced", file), 1))
        assert found == pytest.approx(N)


def test_one_set_for_everybody_leaves_k_ancestors() -> None:
    found = of("measures").effective_ancestors(populations(scheme_of("shared_prefix(16,4)"), 1))
    assert found == pytest.approx(4)


def test_ancestors_by_hand() -> None:
    """0.0 is owed 1/2 + 1/4, 0.1 is owed 1/4: 1 / (9/16 + 1/16)."""
    first = [Candidate("p", 0, slot, "init") for slot in range(2)]
    last = [
        Candidate("p", 1, 0, "mate", parents=("0.0",)),
        Candidate("p", 1, 1, "mate", parents=("0.0", "0.1")),
    ]
    assert of("measures").effective_ancestors([first, last]) == pytest.approx(1.6)


def test_who_was_sampled_afresh_is_a_founder() -> None:
    first = [Candidate("p", 0, 0, "init")]
    last = [Candidate("p", 1, 0, "mate", parents=("0.0",)), Candidate("p", 1, 1, "init")]
    assert of("measures").effective_ancestors([first, last]) == pytest.approx(2)


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_ancestors_are_between_one_and_all(seed: int, k: int) -> None:
    rng = random.Random(seed)
    found = [[Candidate("p", 0, slot, "init") for slot in range(6)]]
    for generation in range(1, 4):
        names = [one.uid for one in found[-1]]
        found.append(
            [
                Candidate("p", generation, slot, "mate", parents=tuple(rng.sample(names, k)))
                for slot in range(6)
            ]
        )
    assert 1 - 1e-9 <= of("measures").effective_ancestors(found) <= 6 + 1e-9


# ---------------------------------------------------------------- tables


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    rows = of("rows")
    row = line("balanced", "p", 1, 0.25, majority=1 / 3, distinct=3.0, ancestors=12.5, speed=0.25)
    row |= {"pass@N": 1.0, "locks": 2, "failed": 0, "truncated": 1}
    rows.write(tmp_path / "t.csv.gz", [row])
    (found,) = rows.read(tmp_path / "t.csv.gz")
    assert found == {**row, "majority": pytest.approx(1 / 3, abs=1e-5)}
    before = (tmp_path / "t.csv.gz").read_bytes()
    rows.write(tmp_path / "t.csv.gz", [row])
    assert (tmp_path / "t.csv.gz").read_bytes() == before


# ---------------------------------------------------------------- differences


def two_arms(differences: Sequence[float], seeds: int = 1) -> list[dict[str, Any]]:
    """Uniform at .5 and balanced so much above it, on one problem each."""
    return [
        line(scheme, f"p{i}", seed, 0.5 + by)
        for i, difference in enumerate(differences)
        for seed in range(seeds)
        for scheme, by in (("uniform", 0.0), ("balanced", difference))
    ]


def test_the_difference_is_paired_and_signed() -> None:
    ((mean, interval),) = of("described").differences(two_arms([0.1, 0.3, -0.1]), "pass@1").values()
    assert mean == pytest.approx(0.1)
    assert interval[0] < mean < interval[1]


def test_seeds_of_a_problem_are_no_further_problems() -> None:
    """The same values under a second seed tell nothing new: the interval may not change."""
    differences = [0.1, 0.3, -0.1, 0.2, 0.0, 0.15]
    one = of("described").differences(two_arms(differences), "pass@1")
    assert of("described").differences(two_arms(differences, seeds=2), "pass@1") == one


def test_arms_with_other_problems_are_refused() -> None:
    rows = [row for row in two_arms([0.1, 0.2]) if (row["scheme"], row["problem"]) != ("balanced", "p1")]
    with pytest.raises(ValueError, match="nothing to pair"):
        of("described").differences(rows, "pass@1")


def test_another_generation_0_is_noticed() -> None:
    rows = two_arms([0.1, 0.2])
    assert of("described").unequal_starts(rows) == (0, 2)
    rows[0]["first"] = "other"
    assert of("described").unequal_starts(rows) == (1, 2)


def test_variance_between_problems_is_told_from_that_between_seeds() -> None:
    rng = random.Random(1)
    rows = []
    for i in range(2000):
        own = rng.gauss(0, 0.3)
        for seed in range(2):
            rows.append(line("uniform", f"p{i}", seed, 0.5))
            rows.append(line("balanced", f"p{i}", seed, 0.5 + own + rng.gauss(0, 0.2)))
    found = of("described").components(rows, (4, "balanced"))
    assert found == (pytest.approx(0.09, rel=0.15), pytest.approx(0.04, rel=0.15))
    assert of("described").components(two_arms([0.1, 0.2]), (4, "balanced")) is None


def test_the_committed_page_says_what_the_committed_table_says() -> None:
    """Every number of the arms and every difference with its interval stands in README.md."""
    described, rows = of("described"), of("rows")
    committed = rows.read(rows.RESULTS / "study.csv.gz")
    page = (FOLDER / "README.md").read_text("utf-8")
    for text in described.contrasts(committed).splitlines()[2:]:
        k, scheme, *cells = (cell.strip() for cell in text.strip("|").split("|"))
        for cell in cells:
            mean, _, interval = cell.partition(" (")
            interval = interval.rstrip(")")
            assert f"{mean} | {interval}" in page or cell in page, (k, scheme, cell)
    for text in described.arms(committed).splitlines()[2:]:
        assert text.rsplit("|", 3)[0] in page


def test_ranks_agree_with_themselves_and_not_with_their_reverse() -> None:
    ranks = of("ranks")
    arms = [(4, f"s{n}") for n in range(6)]
    same = {key: np.full(30, n / 10) for n, key in enumerate(arms)}
    reverse = {key: -each for key, each in same.items()}
    assert ranks.spearman(same, same) == [1.0, 1.0, 1.0]
    assert ranks.spearman(same, reverse) == [-1.0, -1.0, -1.0]
    noise = np.random.default_rng(0)
    noisy = {key: noise.normal(0.0, 0.3, 30) for key in arms}
    found, low, high = ranks.spearman(same, {**noisy, (2, "elsewhere"): np.zeros(30)})
    assert low <= found <= high
    assert high - low > 0.3
