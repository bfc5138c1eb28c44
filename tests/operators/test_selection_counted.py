"""Selection by the votes about members, and by what became of their children."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial

import pytest
from evolve_llm_operators.counted import (
    LEAST,
    MOST,
    UNTOLD,
    beta_prior,
    credit_of,
    credited,
    tournament_shrunk,
)
from hypothesis import given
from hypothesis import strategies as st
from selection_cases import groups_of, population, scheme, state

from evolve_llm import evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import OperatorError, UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion, Request
from evolve_llm.scheme.scheme import Scheme
from evolve_llm.testing import Behaviour, database, run_directory, seeds

votes = st.lists(st.sampled_from((0.0, 1.0, -1.0, 0.25)), max_size=6)


def voted(*about: list[float], key: str = "self_verify 4") -> list[Candidate]:
    members = population([(0.5,)] * len(about))
    for one, values in zip(members, about, strict=True):
        one.evidence = {key: list(values)} if values else {}
    return members


@given(about=st.lists(votes, min_size=1, max_size=9), data=st.data(), seed=seeds(), outer=st.integers(0, 99))
def test_different_members_from_the_seed_alone_and_nothing_changed(
    about: list[list[float]], data: st.DataObject, seed: int, outer: int
) -> None:
    members = voted(*about)
    sizes = data.draw(st.lists(st.integers(0, len(members)), max_size=5))
    before = [state(one) for one in members]
    random.seed(outer)
    groups = groups_of(tournament_shrunk, members, sizes, seed)
    assert [len(group) for group in groups] == sizes
    assert all(len({id(one) for one in group}) == len(group) for group in groups)
    assert [state(one) for one in members] == before
    random.seed(outer + 1)
    assert groups_of(tournament_shrunk, members, sizes, seed) == groups


@given(counts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_the_prior_is_a_distribution_whatever_was_counted(counts: list[tuple[int, int]]) -> None:
    mean, weight = beta_prior([(float(yes), float(no)) for yes, no in counts])
    assert 0 < mean < 1
    assert LEAST <= weight <= MOST


def test_the_prior_is_found_again_from_many_counts() -> None:
    rng = random.Random(0)
    for alpha, beta, n in ((6.0, 2.0, 4), (1.0, 3.0, 8), (0.5, 0.5, 3)):
        counts = []
        for _ in range(20_000):
            p = rng.betavariate(alpha, beta)
            asked = n + rng.randrange(2)
            yes = sum(rng.random() < p for _ in range(asked))
            counts.append((float(yes), float(asked - yes)))
        mean, weight = beta_prior(counts)
        assert mean == pytest.approx(alpha / (alpha + beta), abs=0.03)
        assert weight == pytest.approx(alpha + beta, rel=0.25)


def test_a_scatter_that_is_luck_shrinks_everything_and_one_vote_each_tells_nothing() -> None:
    assert beta_prior([(2.0, 2.0)] * 16)[1] == MOST
    assert beta_prior([(1.0, 0.0)] * 8 + [(0.0, 1.0)] * 8) == (0.5, UNTOLD)
    assert beta_prior([(4.0, 0.0)] * 16)[1] == UNTOLD  # all the same: nothing to fit
    assert beta_prior([]) == (0.5, UNTOLD)
    assert beta_prior([(4.0, 0.0)] * 8 + [(0.0, 4.0)] * 8)[1] == LEAST


def shares(members: list[Candidate], draws: int = 3000) -> list[float]:
    select = partial(tournament_shrunk, tournsize=2)
    found = Counter(groups_of(select, members, [1], seed)[0][0].slot for seed in range(draws))
    return [found[slot] / draws for slot in range(len(members))]


def test_clear_votes_decide_and_luck_does_not() -> None:
    clear = voted(*[[1.0] * 8] * 2, *[[0.0] * 8] * 2)
    assert sum(shares(clear)[:2]) > 0.8  # 5 of 6 pairs have one of the two
    # as many yes as no about everybody: one vote more or less is luck, and the prior outweighs it
    luck = voted(*[[1.0] * 4 + [0.0] * 4] * 2, [1.0] * 5 + [0.0] * 3, [1.0] * 3 + [0.0] * 5)
    assert all(share == pytest.approx(0.25, abs=0.04) for share in shares(luck))


def test_one_lucky_vote_does_not_beat_nine_of_ten() -> None:
    """A plain tournament on the share of yes votes would have the lucky one win every time."""
    others = [[1.0] * yes + [0.0] * (10 - yes) for yes in (9, 5, 6, 7, 4)]
    found = shares(voted([1.0], *others))
    assert found[1] > found[0] > found[5]


def test_other_evidence_is_not_looked_at_and_without_any_the_fitness_decides() -> None:
    members = voted([1.0] * 4, [0.0] * 4, key="else 4")
    for one, value in zip(members, (0.0, 1.0), strict=True):
        one.fitness.assign([value])
    select = partial(tournament_shrunk, tournsize=2)
    assert {groups_of(select, members, [1], seed)[0][0].slot for seed in range(20)} == {1}
    select = partial(tournament_shrunk, tournsize=2, evidence="else")
    assert shares_of(select, members)[0] > 0.9


def shares_of(select: object, members: list[Candidate]) -> list[float]:
    found = Counter(groups_of(select, members, [1], seed)[0][0].slot for seed in range(300))  # type: ignore[arg-type]
    return [found[slot] / 300 for slot in range(len(members))]


def test_more_parents_than_members_are_an_error() -> None:
    with pytest.raises(OperatorError, match="asked for 3 of 2"):
        groups_of(tournament_shrunk, voted([1.0], [0.0]), [3], 0)


# ---------------------------------------------------------------- credit


def family(*worth: float, parents: dict[int, tuple[int, ...]] | None = None) -> list[Candidate]:
    """Members with these fitnesses; ``parents`` by slot."""
    found = population([(value,) for value in worth])
    for child, slots in (parents or {}).items():
        found[child].parents = tuple(found[slot].uid for slot in slots)
    return found


def test_credit_is_what_children_are_worth_beyond_their_parents() -> None:
    members = family(0.2, 0.6, 0.4, 1.0, 0.1, parents={3: (0, 1), 4: (1, 2)})
    credit = credit_of(members, prior=2.0)
    gain, loss = 1.0 - 0.4, 0.1 - 0.5
    assert credit["0.0"] == pytest.approx(gain / 3)
    assert credit["0.1"] == pytest.approx((gain + loss) / 4)
    assert credit["0.2"] == pytest.approx(loss / 3)
    assert credit["0.3"] == credit["0.4"] == 0.0


@given(worth=st.lists(st.sampled_from((0.0, 0.5, 1.0)), min_size=2, max_size=8), data=st.data())
def test_credit_sums_to_the_gains_and_a_child_without_all_its_parents_gives_none(
    worth: list[float], data: st.DataObject
) -> None:
    links = {
        child: tuple(data.draw(st.lists(st.integers(0, child - 1), min_size=1, max_size=3, unique=True)))
        for child in range(1, len(worth))
    }
    members = family(*worth, parents=links)
    gains = [worth[child] - sum(worth[p] for p in links[child]) / len(links[child]) for child in links]
    children = Counter(slot for slots in links.values() for slot in slots)
    credit = credit_of(members, prior=2.0)
    assert sum(credit[one.uid] * (children[one.slot] + 2) for one in members) == pytest.approx(
        sum(gain * len(links[child]) for gain, child in zip(gains, links, strict=True))
    )
    for one in members[1:]:
        one.parents = (*one.parents, "9.9")  # one of them is gone
    assert set(credit_of(members, prior=2.0).values()) == {0.0}


def test_of_two_equals_the_parent_of_the_better_child_is_chosen() -> None:
    members = family(0.5, 0.5, 1.0, 0.0, parents={2: (0,), 3: (1,)})
    select = partial(credited, tournsize=4)
    assert {groups_of(select, members[:2], [1], seed)[0][0].slot for seed in range(30)} == {0, 1}
    chosen = {tuple(one.slot for one in groups_of(select, members, [3], seed)[0]) for seed in range(30)}
    assert chosen == {(2, 0, 1)}  # 1.0, then 0.5 + 1/6, then 0.5 - 1/6
    select = partial(credited, tournsize=4, weight=0)
    chosen = {tuple(one.slot for one in groups_of(select, members, [3], seed)[0]) for seed in range(30)}
    assert chosen == {(2, 0, 1), (2, 1, 0)}


def test_a_minimised_fitness_is_credited_for_falling() -> None:
    members = population([(5.0,), (5.0,), (1.0,), (9.0,)], weights=(-1.0,))
    members[2].parents, members[3].parents = ("0.0",), ("0.1",)
    credit = credit_of(members, prior=1.0)
    assert credit["0.0"] == 2.0
    assert credit["0.1"] == -2.0


@pytest.mark.parametrize("replace", ["generational", "accumulate", "plus"])
def test_it_is_refused_where_parents_and_children_never_meet(replace: str) -> None:
    def made() -> Scheme:
        return scheme("credited", evaluate="agreement", replace=replace)

    if replace == "generational":
        with pytest.raises(UserError, match="keeps no parent; use one that does"):
            made()
    else:
        assert made().stops == ()


def test_credit_is_at_work_in_a_run_and_does_not_depend_on_concurrency() -> None:
    found = []
    for concurrency in (1, 64):
        with run_directory() as out:
            evolve(
                PROBLEMS, "smoke", Scripted(Behaviour(fail=0.1)), out=out, concurrency=concurrency,
                generations=4, select="credited", evaluate="agreement", replace="accumulate",
            )  # fmt: skip
            found.append(database(out))
    assert found[0] == found[1]


# ---------------------------------------------------------------- in a run

PROBLEMS = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(2)]


def honest(request: Request) -> Completion:
    """Chains that say whether they are right, and votes that know it."""
    if "/evaluate/" in request.id:
        good = "good" in request.prompt.messages[-1].content
        return Completion(f"Verdict: {'CORRECT' if good else 'INCORRECT'}")
    made = Behaviour().rng(request)
    return Completion(made.choice(("good \\boxed{4}", "bad \\boxed{5}", "bad \\boxed{6}")))


def test_in_a_run_it_reads_the_votes_that_the_fitness_has_kept() -> None:
    model = Scripted(honest, record=True)
    with run_directory() as out:
        run = evolve(
            PROBLEMS,
            "tournament-shrunk",
            model,
            out=out,
            population=8,
            parents=1,
            generations=3,
            **{"evaluate.votes": 4, "select.tournsize": 8},
        )  # type: ignore[arg-type]
        assert run.complete
    asked = [
        one.prompt.messages[-1].content
        for one in model.calls
        if "/vary/" in one.id and one.id.split("/")[1] != "0"
    ]
    assert len(asked) == 2 * 8 * 2
    assert sum("good" in text for text in asked) > 0.8 * len(asked)
