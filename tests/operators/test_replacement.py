"""Replacement operators keep the right ones: by property, for every operator and its parameters."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from evolve_llm_operators.archive import archive
from evolve_llm_operators.ranking import ranked
from evolve_llm_operators.replacement import (
    accumulate,
    comma,
    elitism,
    generational,
    plus,
    prune,
    steady_state,
)
from evolve_llm_operators.replacement import (
    offspring as the_offspring,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm import Candidate, OperatorError, Preset, Problem, Request, UserError, evolve, replacement
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.candidate import Fitness, Status, fitness_class
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.scheme.declarations import Replacement, declaration
from evolve_llm.scheme.toolbox import build
from evolve_llm.testing import Behaviour, Ledger, candidates, contents, run_directory

Replace = Callable[[Sequence[Candidate], Sequence[Candidate], int], list[Candidate]]

OPERATORS: dict[str, Any] = {
    "generational": generational,
    "plus": plus,
    "plus pareto": partial(plus, pareto=True),
    "comma": comma,
    "elitism": elitism,
    "elitism of all": partial(elitism, e=1),
    "accumulate": accumulate,
    "offspring": the_offspring,
    "prune": prune,
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
    said = declaration(Replacement, replace)
    assert len(members) == n or (said.varies_size and members)
    assert len(members) <= n or not said.narrows
    assert (parents, offspring) == lists
    assert [state(one) for one in (*parents, *offspring)] == before
    assert [id(one) for one in kept(replace, parents, offspring, n, seed)] == [id(one) for one in members]


@every_operator
@given(family=families())
def test_a_failed_candidate_never_stands_where_a_live_one_could(
    replace: Replace, family: tuple[list[Candidate], list[Candidate], int]
) -> None:
    if replace in (generational, the_offspring):
        return  # takes the offspring as they are
    parents, offspring, n = family
    members = kept(replace, parents, offspring, n)
    inside = {id(one) for one in members}
    pool = offspring if replace in (comma, prune) else [*parents, *offspring]
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
    pool = offspring if replace in (comma, prune) else [*parents, *offspring]
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


# ---------------------------------------------------------------- a population that narrows


def branch(slot: int, before: str | None, now: str | None, *more: int) -> tuple[Candidate, Candidate]:
    """A member and its only child; ``more``: slots of other parents of the child."""
    parent, child = individual(slot, 0.5, before), individual(slot, 0.5, now, 1)
    child.parents = (parent.uid, *(f"0.{one}" for one in more))
    return parent, child


def pruned(*branches: tuple[Candidate, Candidate], seed: int = 0, **given: Any) -> list[int]:
    members = kept(
        partial(prune, **given),
        [one for one, _ in branches],
        [child for _, child in branches],
        len(branches),
        seed,
    )
    return [one.slot for one in members]


def test_who_was_outside_the_consensus_twice_is_pruned() -> None:
    branches = (
        branch(0, "4", "4"),
        branch(1, "4", "4"),
        branch(2, "5", "4"),  # came in
        branch(3, "4", "5"),  # has just left
        branch(4, "5", "6"),  # outside twice, though not with the same answer
        branch(5, None, None),
        branch(6, "6", "5", 0),  # one of its parents was inside
    )
    assert pruned(*branches) == [0, 1, 2, 3, 6]
    assert pruned(*branches, warmup=2) == [0, 1, 2, 3, 4, 5, 6]


def test_nobody_is_pruned_where_there_is_no_consensus_and_some_are_always_left() -> None:
    assert pruned(branch(0, "4", "4"), branch(1, "4", "4"), branch(2, "5", "5"), branch(3, "5", "5")) == [
        0,
        1,
        2,
        3,
    ]
    outside = [branch(slot, str(slot), str(9 - slot)) for slot in range(1, 5)]
    assert len(pruned(*outside)) == 4  # four answers tie
    strays = (
        branch(0, "4", "4"),
        branch(1, "4", "4"),
        *[branch(slot, str(slot), str(slot + 1)) for slot in (2, 6)],
    )
    assert pruned(*strays, least=2) == [0, 1]
    left = [pruned(*strays, least=3, seed=seed) for seed in range(20)]
    assert {len(one) for one in left} == {3}
    assert {tuple(one) for one in left} == {(0, 1, 2), (0, 1, 6)}


def test_a_failed_branch_ends() -> None:
    parents, children = zip(branch(0, "4", "4"), branch(1, "4", "4"), strict=True)
    children[1].status = Status.FAILED
    assert kept(prune, list(parents), list(children), 2) == [children[0]]
    children[0].status = Status.FAILED
    assert kept(prune, list(parents), list(children), 2) == list(children)


QUARREL = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", "4") for i in range(2)]


def half_stubborn(request: Request) -> str:
    """Branches of even slots say 4, those of odd slots never the same thing."""
    _, generation, slot, *_ = request.id.rsplit("/", 4)
    return (
        "\\boxed{4}"
        if int(slot) % 2 == 0 and generation != "x"
        else f"\\boxed{{{request.seed % 10_000 + 10}}}"
    )


def test_a_pruned_population_has_fewer_children_and_costs_less() -> None:
    model = Ledger(Scripted(half_stubborn))
    shape = {"population": 8, "parents": 1, "generations": 4, "select": "identity", "vary": "refine"}
    with run_directory() as out:
        run = evolve(QUARREL, "rsa", model, out=out, replace="prune", finish="majority", **shape)  # type: ignore[arg-type]
        assert run.complete
        rows = contents(out)["candidates"]
    born = Counter(row[1] for row in rows if row[0] == 0)
    assert born[0] == born[1] == 8
    assert born[2] == 4  # the four that dissented twice are gone
    assert born[3] <= 4
    assert model.calls == len(rows)


def test_a_population_narrows_to_its_offspring() -> None:
    model = Ledger(Scripted(Behaviour()))
    shape = {"population": 8, "offspring": 3, "parents": 8, "generations": 3, "replace": "offspring"}
    with run_directory() as out:
        run = evolve(QUARREL, "rsa", model, out=out, **shape)  # type: ignore[arg-type]
        assert run.complete
        rows = contents(out)
    assert Counter(row[1] for row in rows["candidates"] if row[0] == 0) == {0: 8, 1: 3, 2: 3}
    parents = {len(json.loads(row[4])) for row in rows["candidates"] if row[0] == 0 and row[1] == 2}
    assert parents == {3}


def test_a_replacement_that_says_it_narrows_and_grows_is_refused() -> None:
    @replacement(varies_size=True, narrows=True)
    def grows(parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int) -> list[Candidate]:  # noqa: ARG001
        return [*parents, *offspring]

    with run_directory() as out, pytest.raises(OperatorError, match="must return 1 to 4 different members"):
        evolve(QUARREL, "smoke", Scripted(Behaviour()), out=out, replace=grows)
