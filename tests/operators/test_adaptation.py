"""Adaptive mixtures: probabilities stay probabilities, and what improves is used more."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from evolve_llm_operators.adaptation import probability_matching, ucb
from hypothesis import assume, given
from hypothesis import strategies as st

from evolve_llm import Candidate, Problem, UserError, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.engine.credit import Credit
from evolve_llm.nouns.candidate import Fitness, Status
from evolve_llm.scheme.plan import Choice
from evolve_llm.testing import Behaviour, Ledger, contents, run_directory

values = st.floats(-1e6, 1e6)


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[list[float], list[list[float]]]:
    """A mixture of one to five operators, and what each has been rewarded with."""
    shares = draw(st.lists(st.integers(1, 9), min_size=1, max_size=5))
    rewards = [draw(st.lists(values, max_size=5)) for _ in shares]
    return [share / sum(shares) for share in shares], rewards


@given(mixture=mixtures(), p_min=st.floats(0, 1), decay=st.floats(0, 1, exclude_max=True))
def test_matching_gives_probabilities_none_below_the_least(
    mixture: tuple[list[float], list[list[float]]], p_min: float, decay: float
) -> None:
    probabilities, rewards = mixture
    assume(p_min * len(probabilities) <= 1)
    given_rewards = [list(ones) for ones in rewards]
    found = probability_matching(probabilities, rewards, p_min=p_min, decay=decay)
    assert len(found) == len(probabilities)
    assert math.isclose(math.fsum(found), 1.0, rel_tol=1e-9)
    assert min(found) >= p_min - 1e-12
    assert rewards == given_rewards
    assert found == probability_matching(probabilities, rewards, p_min=p_min, decay=decay)


@given(mixture=mixtures(), c=st.floats(0, 10))
def test_ucb_gives_probabilities_to_the_best_bounds_alone(
    mixture: tuple[list[float], list[list[float]]], c: float
) -> None:
    probabilities, rewards = mixture
    found = ucb(probabilities, rewards, c=c)
    assert math.isclose(math.fsum(found), 1.0)
    assert len(set(found)) <= 2
    if any(not ones for ones in rewards):
        assert all((share > 0) == (not ones) for share, ones in zip(found, rewards, strict=True))


def test_what_improves_is_used_more_and_what_never_does_is_kept_alive() -> None:
    found = probability_matching([0.5, 0.5], [[1.0] * 5, [0.0] * 5], p_min=0.1)
    assert found == pytest.approx([0.9, 0.1])
    assert probability_matching([0.5, 0.5], [[2.0], [1.0]], p_min=0) == pytest.approx([2 / 3, 1 / 3])
    assert probability_matching([0.5, 0.5], [[1.0], [-9.0]], p_min=0.1) == pytest.approx([0.9, 0.1])
    assert ucb([0.5, 0.5], [[1.0] * 5, [0.0] * 5], c=0.1) == [1.0, 0.0]


def test_the_untried_are_tried() -> None:
    assert probability_matching([0.5, 0.5], [[1.0], []], p_min=0) == pytest.approx([0.5, 0.5])
    assert ucb([0.4, 0.3, 0.3], [[1.0], [], []]) == [0.0, 0.5, 0.5]


def test_where_nothing_has_improved_the_mixture_stays() -> None:
    assert probability_matching([0.7, 0.3], [[-1.0], [0.0]], p_min=0) == pytest.approx([0.7, 0.3])
    assert ucb([0.7, 0.3], [[-1.0], [0.0]]) == [0.5, 0.5]


def test_matching_forgets() -> None:
    found = probability_matching([0.5, 0.5], [[1.0] + [0.0] * 20, [0.0] * 20 + [1.0]], p_min=0, decay=0.5)
    assert found[1] > 0.99


def test_ucb_explores_what_was_tried_little() -> None:
    rewards = [[0.5] * 100, [0.4]]
    assert ucb([0.5, 0.5], rewards, c=1.0) == [0.0, 1.0]
    assert ucb([0.5, 0.5], rewards, c=0.0) == [1.0, 0.0]


def test_an_operator_that_only_fails_is_not_taken_for_untried() -> None:
    def child(slot: int, alias: str, value: float | None) -> Candidate:
        one = Candidate("p", 1, slot, "x", alias=alias, parents=("0.0",))
        if value is None:
            one.status = Status.FAILED
        else:
            one.fitness.assign([value])
        return one

    parent = Candidate("p", 0, 0, "sample", fitness=Fitness())
    parent.fitness.assign([0.25])
    choices = (Choice("mate", 2, 0.5), Choice("mutate", 1, 0.5))
    credit = Credit(choices)
    adapted = credit.assign(ucb, choices, [parent], [child(0, "mate", None), child(1, "mutate", 0.75)])
    assert credit.rewards == {"mate": [0.0], "mutate": [0.5]}
    assert [one.probability for one in adapted] == [0.0, 1.0]


def test_a_run_moves_to_the_operator_that_improves() -> None:
    """Children by refinement verify as correct, all others as wrong."""

    def respond(request: object) -> str:
        text = request.prompt.messages[-1].content  # type: ignore[attr-defined]
        if "/evaluate/" in request.id:  # type: ignore[attr-defined]
            return "Verdict: CORRECT" if "refined" in text else "Verdict: INCORRECT"
        return f"{'refined' if 'Here is one attempt' in text else 'plain'} \\boxed{{4}}"

    with run_directory() as out:
        evolve([Problem("p", "?", "boxed")], "adaptive-mixture", Scripted(respond), out=out, population=12, parents=2,
               generations=8)  # fmt: skip
        rows = contents(out)["candidates"]
    made = Counter(row[3] for row in rows if row[1] == 1)
    assert set(made) == {"aggregate", "refine", "sample"}
    later = Counter(row[3] for row in rows if row[1] > 2)
    assert later["refine"] > 2 * max(later["aggregate"], later["sample"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adapt": {"operator": "probability_matching", "p_min": 0.4}}, r"p_min must be in 0 \.\.\. 1/3"),
        (
            {"adapt": {"operator": "probability_matching", "decay": 1.0}},
            "decay must be a finite number of at least 0 and less than 1, got 1.0",
        ),
        ({"adapt": {"operator": "ucb", "c": -1}}, "c must be a finite number of at least 0, got -1"),
        ({"adapt": "ucb", "vary": "aggregate"}, "adapt chooses between"),
        ({"evaluate": None}, "adapt rewards operators"),
    ],
)
def test_mixtures_that_cannot_work_cost_no_token(changes: dict[str, object], message: str) -> None:
    model = Ledger(Scripted(Behaviour()))
    with run_directory() as out, pytest.raises(UserError, match=message):
        evolve([Problem("p", "?", "boxed")], "adaptive-mixture", model, out=out, **changes)  # type: ignore[arg-type]
    assert model.calls == 0
