"""The pure parts of experiments/selection_schemes: the arms, the measures, and the arithmetic of the differences."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator, Sequence
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
from evolve_llm.session.session import flatten
from evolve_llm.study.spec import read_study

FOLDER = Path(__file__).parents[2] / "experiments" / "selection_schemes"
N, T = 16, 6


@pytest.fixture(scope="module", autouse=True)
def no_modules_left_behind() -> Iterator[None]:
    """Folders of experiments share short module names; what is imported here must not shadow another's."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(FOLDER) in str(getattr(module, "__file__", None)) and name != __name__:
            del sys.modules[name]


def of(name: str) -> ModuleType:
    """A module of the experiment."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return importlib.import_module(name)


def scheme_of(name: str, parents: int) -> Scheme:
    """One arm, built by the product."""
    arm = next(one for one in of("schemes").ARMS if (one.scheme.name, one.parents) == (name, parents))
    return build(load_preset("rsa").override(flatten(arm.overrides)))


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


def test_all_arms_are_schemes_of_the_product_with_equal_calls() -> None:
    for arm in of("schemes").ARMS:
        preset = build(load_preset("rsa").override(flatten(arm.overrides))).preset
        assert (preset.population, preset.generations, preset.parents) == (N, T, arm.parents)
        assert (preset.finish, preset.vary, preset.replace) == (
            load_preset("rsa").finish,
            load_preset("rsa").vary,
            load_preset("rsa").replace,
        )


def test_folders_of_arms_differ() -> None:
    arms = of("schemes").ARMS
    assert len({arm.slug for arm in arms}) == len(arms)


def test_the_null_arm_draws_other_parents_of_the_same_kind() -> None:
    null, uniform = scheme_of("uniform again", 4), scheme_of("uniform", 4)
    ours, theirs = populations(null, 0)[1], populations(uniform, 0)[1]
    assert [one.parents for one in ours] != [one.parents for one in theirs]
    assert all(len(set(one.parents)) == 4 for one in ours)


# ---------------------------------------------------------------- effective ancestors


def test_a_balanced_design_keeps_all_ancestors() -> None:
    for parents in (2, 4):
        found = of("measures").effective_ancestors(populations(scheme_of("balanced", parents), 1))
        assert found == pytest.approx(N)


def test_one_set_for_everybody_leaves_k_ancestors() -> None:
    found = of("measures").effective_ancestors(populations(scheme_of("shared_prefix(16,4)", 4), 1))
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


# ---------------------------------------------------------------- problems and tables


def test_blocks_are_disjoint_and_alike() -> None:
    run = of("run")
    plan = run.Plan("t", problem_seed=3, blocks=3, size=8, seeds=(0,))
    blocks = [run.block_of(plan, block) for block in range(3)]
    assert len({problem.question for block in blocks for problem in block}) == 24
    assert all([problem.metadata["locks"] for problem in block] == [1, 2, 3, 4] * 2 for block in blocks)


def test_a_longer_study_begins_with_the_same_blocks() -> None:
    run = of("run")
    short, long = (run.Plan("t", problem_seed=3, blocks=n, size=8, seeds=(0,)) for n in (1, 3))
    assert run.block_of(short, 0) == run.block_of(long, 0)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    run, analyse = of("run"), of("analyse")
    row = line("balanced", "p", 1, 0.25, majority=1 / 3, distinct=3.0, ancestors=12.5, speed=0.25)
    row |= {"pass@N": 1.0, "block": 0, "locks": 2, "failed": 0, "truncated": 1}
    run.write(tmp_path / "t.csv.gz", [row])
    (found,) = analyse.read(tmp_path / "t.csv.gz")
    assert found == {**row, "majority": pytest.approx(1 / 3, abs=1e-5)}
    before = (tmp_path / "t.csv.gz").read_bytes()
    run.write(tmp_path / "t.csv.gz", [row])
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
    (found,) = of("analyse").contrasts(two_arms([0.1, 0.3, -0.1]), "pass@1", 99).values()
    assert found["difference"] == pytest.approx(0.1)
    assert (found["baseline"], found["value"]) == (pytest.approx(0.5), pytest.approx(0.6))


def test_seeds_of_a_problem_are_no_further_problems() -> None:
    """The same values under a second seed tell nothing new: neither n nor the interval may change."""
    differences = [0.1, 0.3, -0.1, 0.2, 0.0, 0.15]
    (one,) = of("analyse").contrasts(two_arms(differences), "pass@1", 99).values()
    (two,) = of("analyse").contrasts(two_arms(differences, seeds=2), "pass@1", 99).values()
    assert two == one


def test_arms_with_other_problems_are_refused() -> None:
    rows = [row for row in two_arms([0.1, 0.2]) if (row["scheme"], row["problem"]) != ("balanced", "p1")]
    with pytest.raises(ValueError, match="nothing to pair"):
        of("analyse").contrasts(rows, "pass@1", 99)


def test_the_null_contrast_is_outside_the_correction() -> None:
    analyse = of("analyse")
    rows = two_arms([0.1 + 0.01 * i for i in range(12)])
    alone = analyse.contrasts(rows, "pass@1", 99)[4, "balanced"]["p (Holm)"]
    rows += [line("uniform again", row["problem"], 0, row["pass@1"]) for row in rows[::2]]
    found = analyse.contrasts(rows, "pass@1", 99)
    assert found[4, "balanced"]["p (Holm)"] == alone
    assert "p (Holm)" not in found[4, "uniform again"]
    rows += [line("diverse", row["problem"], 0, row["pass@1"]) for row in two_arms([0.0] * 12)[::2]]
    assert analyse.contrasts(rows, "pass@1", 99)[4, "balanced"]["p (Holm)"] == pytest.approx(2 * alone)


def test_another_generation_0_is_noticed() -> None:
    rows = two_arms([0.1, 0.2])
    assert of("analyse").unequal_starts(rows) == (0, 2)
    rows[0]["first"] = "other"
    assert of("analyse").unequal_starts(rows) == (1, 2)


def test_variance_between_problems_is_told_from_that_between_seeds() -> None:
    rng = random.Random(1)
    rows = []
    for i in range(2000):
        own = rng.gauss(0, 0.3)
        for seed in range(2):
            rows.append(line("uniform", f"p{i}", seed, 0.5))
            rows.append(line("balanced", f"p{i}", seed, 0.5 + own + rng.gauss(0, 0.2)))
    found = of("analyse").components(rows, (4, "balanced"))
    assert found["between problems"] == pytest.approx(0.09, rel=0.15)
    assert found["between seeds"] == pytest.approx(0.04, rel=0.15)
    assert of("analyse").components(two_arms([0.1, 0.2]), (4, "balanced")) is None


# ---------------------------------------------------------------- pages


def test_a_page_keeps_what_stands_around_the_results(tmp_path: Path) -> None:
    tables, page = of("tables"), tmp_path / "page.md"
    page.write_text(f"above\n{tables.BEGIN}\nold\n{tables.END}\nbelow\n")
    tables.fill(page, "new")
    tables.fill(page, "newer")
    assert page.read_text() == f"above\n{tables.BEGIN}\n\nnewer\n\n{tables.END}\nbelow\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="no place for the results"):
        tables.fill(page, "new")


def test_the_pages_have_a_place_for_the_results() -> None:
    tables = of("tables")
    for page in of("analyse").PAGES:
        text = page.read_text("utf-8")
        assert 0 < text.find(tables.BEGIN) < text.find(tables.END)


def test_the_story_tells_what_was_seen_from_what_was_not_and_what_was_foretold_wrongly() -> None:
    analyse, tables = of("analyse"), of("tables")
    steps = {"balanced": -0.1, "diverse": 0.0, "uniform again": 0.0, "tournament": -0.2}
    rows = []
    for i in range(40):
        noise = 0.01 * (-1) ** i
        for scheme, step in {"uniform": 0.0, **steps}.items():
            extra = {"majority": 0.5, "pass@N": 1.0, "distinct": 1.0, "ancestors": 9.0, "locks": 1}
            value = 0.5 + step + (noise * (1 + i % 3) if step or scheme == "diverse" else 0.0)
            row = line(scheme, f"p{i}", 0, value, speed=value, failed=0, truncated=0, block=0, **extra)
            rows.append(row)
    settings = {"date": "d", "machine": "m", "blocks": 1, "blocks planned": 2}
    found = {"settings": settings, **analyse.analysis(rows, 199)}
    seen, unseen, majority, directions = tables.story(found).splitlines()[1:5]
    assert "`balanced` at K = 4 -10.0" in seen
    assert "diverse" not in seen
    assert "`diverse` at K = 4" in unseen
    assert "balanced" not in unseen
    assert majority.endswith("none.")
    assert "not `balanced`" in directions
    assert "Unfinished: 1 of 2 blocks" in tables.story(found)
    assert "as it should be" in tables.story(found)


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


@pytest.mark.parametrize(("name", "parents"), [("study", 4), ("study_hard", 4), ("study_hard_k2", 2)])
def test_the_study_files_have_the_arms_of_the_runner(name: str, parents: int) -> None:
    """Where both have an arm it is the same preset; the baseline stands first, and one arm is the null one."""
    study = read_study(FOLDER / f"{name}.toml")
    assert (study.arms[0].scheme, sum(arm.null for arm in study.arms)) == ("uniform", 1)
    ours = {
        arm.scheme.name: load_preset("rsa").override(flatten(arm.overrides))
        for arm in of("schemes").ARMS
        if arm.parents == parents
    }
    shared = [arm for arm in study.arms if arm.scheme in ours]
    assert len(shared) == len(ours)
    for arm in shared:
        assert arm.preset.plain() == ours[arm.scheme].plain(), arm.name
