"""Replacement operators keep the right ones: by property, for every operator and its parameters."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from evolve_llm_operators.archive import archive
from evolve_llm_operators.ranking import ranked
from evolve_llm_operators.replacement import accumulate, comma, elitism, generational, plus, steady_state
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm import Candidate, Preset, Problem, UserError, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.candidate import Fitness, Status, fitness_class
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.scheme.declarations import Replacement, declaration
from evolve_llm.scheme.toolbox import build
from evolve_llm.testing import Behaviour, Ledger, candidates, run_directory

Replace = Callable[[Sequence[Candidate], Sequence[Candidate], int], list[Candidate]]

OPERATORS: dict[str, Any] = {
    "generational": generational,
    "plus": plus,
    "plus pareto": partial(plus, pareto=True),
    "comma": comma,
    "elitism": elitism,
    "elitism of all": partial(elitism, e=1),
    "accumulate": accumulate,
    "steady state, worst": steady_state,
    "steady state, similar": partial(steady_state, replace="similar"),
    "archive": partial(archive, lengths=[20, 60]),
}
every_operator = pytest.mark.parametrize("replace", OPERATORS.values(), ids=OPERATORS)


def individual(
    slot: int, value: float | None, answer: str | None = "4", generation: int = 0, **more: Any
) -> Candidate:
    one = Candidate("p", generation, slot, "sample", answer=answer, answer_class=answer, **more)
    if value is None:
        one.status = Status.FAILED
    else:
        one.fitness = Fitness()
        one.fitness.assign([value])
    return one


@st.composite
def families(
    draw: st.DrawFn, weights: Sequence[float] = (1.0,)
) -> tuple[list[Candidate], list[Candidate], int]:
    """Parents, at least as many offspring, and n = the number of parents; ties and failures abound."""
    values = st.sampled_from((0.0, 0.5, 1.0, -1.0))
    n = draw(st.integers(1, 6))

    def drawn(generation: int, size: int) -> list[Candidate]:
        found = [
            draw(candidates(generation=generation, slot=slot, fitness=values, weights=weights))
            for slot in range(size)
        ]
        for one in found:
            one.text_tokens = one.completion_tokens
        return found

    return drawn(0, n), drawn(1, draw(st.integers(n, n + 3))), n


def kept(
    replace: Replace, parents: list[Candidate], offspring: list[Candidate], n: int, seed: int = 0
) -> list[Candidate]:
    with rng_scope(seed):
        return replace(parents, offspring, n)


def state(one: Candidate) -> tuple[object, ...]:
    return one.uid, one.text, one.status, one.answer_class, one.fitness.wvalues, vars(one.fitness)


@every_operator
@given(family=families(), seed=st.integers(0, 99))
def test_gives_different_members_in_the_right_number_and_changes_nothing(
    replace: Replace, family: tuple[list[Candidate], list[Candidate], int], seed: int
) -> None:
    parents, offspring, n = family
    before = copy.deepcopy([state(one) for one in (*parents, *offspring)])
    lists = list(parents), list(offspring)
    members = kept(replace, parents, offspring, n, seed)
    assert type(members) is list
    known = {id(one) for one in (*parents, *offspring)}
    assert len({id(one) for one in members}) == len(members)
    assert {id(one) for one in members} <= known
    assert len(members) == n or (declaration(Replacement, replace).varies_size and members)
    assert (parents, offspring) == lists
    assert [state(one) for one in (*parents, *offspring)] == before
    assert [id(one) for one in kept(replace, parents, offspring, n, seed)] == [id(one) for one in members]


@every_operator
@given(family=families())
def test_a_failed_candidate_never_stands_where_a_live_one_could(
    replace: Replace, family: tuple[list[Candidate], list[Candidate], int]
) -> None:
    if replace is generational:
        return  # takes the offspring as they are
    parents, offspring, n = family
    members = kept(replace, parents, offspring, n)
    inside = {id(one) for one in members}
    pool = offspring if replace is comma else [*parents, *offspring]
    if any(one.failed for one in members) and "elitism" not in repr(replace):
        assert all(id(one) in inside for one in pool if not one.failed)
    if "elitism" in repr(replace):
        failed_children = [one for one in members if one.failed]
        assert all(one.generation == 1 for one in failed_children)
        assert not failed_children or all(id(one) in inside for one in offspring if not one.failed)


@given(family=families(), seed=st.integers(0, 99))
def test_plus_keeps_the_best_of_all_and_comma_of_the_offspring(
    family: tuple[list[Candidate], list[Candidate], int], seed: int
) -> None:
    parents, offspring, n = family
    for replace, pool in ((plus, [*parents, *offspring]), (comma, offspring)):
        members = kept(replace, parents, offspring, n, seed)
        wanted = sorted((one.fitness.wvalues for one in pool), reverse=True)[:n]
        assert sorted((one.fitness.wvalues for one in members), reverse=True) == wanted


@given(family=families(), e=st.integers(1, 6), seed=st.integers(0, 99))
def test_elitism_keeps_the_e_best_parents_and_the_best_offspring(
    family: tuple[list[Candidate], list[Candidate], int], e: int, seed: int
) -> None:
    parents, offspring, n = family
    e = min(e, n)
    members = kept(partial(elitism, e=e), parents, offspring, n, seed)
    elite = [one for one in members if one.generation == 0]
    live = [one for one in parents if not one.failed]
    assert len(elite) == min(e, len(live))
    assert (
        sorted(one.fitness.wvalues for one in elite)
        == sorted(one.fitness.wvalues for one in live)[len(live) - len(elite) :]
    )
    left_out = [one for one in offspring if not any(one is member for member in members)]
    if left_out:
        stay = [one.fitness.wvalues for one in members if one.generation == 1]
        assert not stay or max(one.fitness.wvalues for one in left_out) <= min(stay)


@given(family=families())
def test_accumulate_loses_nobody_who_lives(family: tuple[list[Candidate], list[Candidate], int]) -> None:
    parents, offspring, n = family
    live = [one for one in (*parents, *offspring) if not one.failed]
    assert kept(accumulate, parents, offspring, n) == (live or [*parents, *offspring])


@given(family=families(), seed=st.integers(0, 99), replace=st.sampled_from(("worst", "similar")))
def test_steady_state_never_gives_up_better_for_worse(
    family: tuple[list[Candidate], list[Candidate], int], seed: int, replace: str
) -> None:
    parents, offspring, n = family
    members = kept(partial(steady_state, replace=replace), parents, offspring, n, seed)
    for before, after in zip(parents, members, strict=True):
        assert after is before or not after.failed
        assert before.failed or after.fitness >= before.fitness


def test_steady_state_replaces_the_most_similar() -> None:
    parents = [
        individual(0, 1.0, "4", text="two plus two is four"),
        individual(1, 1.0, "4", text="I count on my fingers"),
        individual(2, 0.0, "5", text="two plus two is five"),
    ]
    child = individual(0, 1.0, "4", 1, text="on my fingers I count")
    assert kept(partial(steady_state, replace="similar"), parents, [child], 3) == [
        parents[0],
        child,
        parents[2],
    ]
    assert kept(steady_state, parents, [child], 3) == [*parents[:2], child]
    weak = individual(1, 0.5, "4", 1, text="on my fingers")
    assert kept(partial(steady_state, replace="similar"), parents, [weak], 3) == parents


@pytest.mark.parametrize(
    "replace", [plus, partial(plus, pareto=True), comma], ids=["plus", "pareto", "comma"]
)
def test_ties_favour_no_place(replace: Replace) -> None:
    parents = [individual(slot, 0.5) for slot in range(4)]
    offspring = [individual(slot, 0.5, generation=1) for slot in range(4)]
    n = 2
    pool = offspring if replace is comma else [*parents, *offspring]
    draws = 2000
    counts: Counter[int] = Counter()
    for seed in range(draws):
        counts.update(id(one) for one in kept(replace, parents, offspring, n, seed))
    share = n / len(pool)
    for one in pool:
        assert abs(counts[id(one)] - draws * share) < 5 * (draws * share * (1 - share)) ** 0.5


def test_the_worst_of_several_is_drawn_at_random() -> None:
    parents = [individual(slot, 0.0) for slot in range(4)]
    child = individual(0, 1.0, generation=1)
    places = Counter(kept(steady_state, parents, [child], 4, seed).index(child) for seed in range(800))
    assert set(places) == {0, 1, 2, 3}
    assert min(places.values()) > 140


def test_pareto_ranks_fronts_then_spread() -> None:
    def point(slot: int, *values: float) -> Candidate:
        one = Candidate("p", 0, slot, "sample")
        one.fitness = fitness_class((1.0, -1.0))()
        one.fitness.assign(values)
        return one

    ends, crowded, alone, beaten = (
        [point(0, 0, 0), point(1, 10, 10)],
        point(2, 9, 8),
        point(3, 4, 3),
        point(4, 3, 4),
    )
    with rng_scope(1):
        order = ranked([beaten, crowded, alone, *ends], pareto=True)
    assert {id(one) for one in order[:2]} == {id(one) for one in ends}
    assert order[2:] == [alone, crowded, beaten]


# -------------------------------------------------------------------- the archive


def cell(one: Candidate) -> tuple[str | None, int]:
    return one.answer_class, (one.text_tokens > 20) + (one.text_tokens > 60)


@given(family=families(), seed=st.integers(0, 99), order=st.randoms(use_true_random=False))
def test_the_archive_holds_the_fittest_of_each_cell(
    family: tuple[list[Candidate], list[Candidate], int], seed: int, order: random.Random
) -> None:
    parents, offspring, n = family
    live = [one for one in (*parents, *offspring) if not one.failed]
    if not live:
        return
    best: dict[object, tuple[float, ...]] = {}
    for one in live:
        best[cell(one)] = max(best.get(cell(one), one.fitness.wvalues), one.fitness.wvalues)
    mixed = order.sample([*parents, *offspring], n + len(offspring))
    for before, after in ((parents, offspring), (mixed[:n], mixed[n:]), ([], mixed)):
        members = kept(OPERATORS["archive"], before, after, n, seed)
        assert {cell(one): one.fitness.wvalues for one in members} == best
        assert len(members) == len(best)


@settings(max_examples=25)
@given(family=families(), seed=st.integers(0, 99))
def test_the_archive_never_loses_an_elite_to_a_worse_one(
    family: tuple[list[Candidate], list[Candidate], int], seed: int
) -> None:
    parents, offspring, n = family
    members: list[Candidate] = []
    for child in (*parents, *offspring):
        before = {cell(one): one.fitness for one in members if not one.failed}
        members = kept(OPERATORS["archive"], members, [child], n, seed)
        after = {cell(one): one.fitness for one in members if not one.failed}
        assert all(after[place] >= fitness for place, fitness in before.items())


def test_equals_in_a_cell_are_drawn_wherever_they_stand() -> None:
    parents, offspring = [individual(0, 0.5)], [individual(slot, 0.5, generation=1) for slot in range(3)]
    counts = Counter(kept(archive, parents, offspring, 4, seed)[0].uid for seed in range(1200))
    assert len(counts) == 4
    assert min(counts.values()) > 225


def test_without_pyribs_the_archive_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ribs", None)
    with pytest.raises(UserError, match=r"pip install 'evolve-llm\[archive\]'"):
        build(
            Preset(
                name="x", population=2, generations=2, evaluate={"operator": "agreement"}, replace="archive"
            )
        )  # type: ignore[arg-type]


# -------------------------------------------------------------------- what cannot work is known before the run

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "comma": ({"replace": "comma", "offspring": 3}, "keeps 4 of the offspring, but there are only 3"),
    "elitism of too many": (
        {"replace": {"operator": "elitism", "e": 5}},
        r"e must be in 1 \.\.\. population \(4\), got 5",
    ),
    "elitism of few": ({"replace": "elitism", "offspring": 2}, "there are only 2"),
    "steady state": ({"replace": {"operator": "steady_state", "replace": "best"}}, "'worst' or 'similar'"),
    "archive": ({"replace": {"operator": "archive", "lengths": [9, 3]}}, "increasing"),
    "no fitness": ({"replace": "plus", "evaluate": None}, "needs a fitness"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_what_cannot_work_costs_no_token(changes: dict[str, Any], message: str) -> None:
    model = Ledger(Scripted(Behaviour()))
    shape = {"evaluate": "agreement", **changes}
    with run_directory() as out, pytest.raises(UserError, match=message):
        evolve([Problem("p", "?", "boxed")], "smoke", model, out=out, **shape)
    assert model.calls == 0
