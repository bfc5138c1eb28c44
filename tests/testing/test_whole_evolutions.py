"""Whole evolutions as a state machine: random operators, a failing model, interruptions and resumes; I1-I10."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from evolve_llm import BackendError, Preset, Problem, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme import registry
from evolve_llm.scheme.toolbox import build
from evolve_llm.testing import (
    Behaviour,
    Ledger,
    Reordering,
    behaviours,
    contents,
    database,
    run_directory,
    seeds,
)

PARAMETERS: dict[str, dict[str, Any]] = {
    "select.islands": {"count": 2},
    "select.neighbourhood": {"graph": "ring"},
    "select.shared_prefix": {"g": 2, "d": 1},
    "evaluate.objectives": {"of": ["agreement", "length"]},
    "finish.final_aggregate": {"parents": 2},
    "stop.token_budget": {"tokens": 400},
}
NEEDS_LOGPROBS = {"confidence"}


def spec(draw: Any, kind: str) -> dict[str, Any]:
    """One registered operator of a kind, with the parameters it cannot do without."""
    names = [name for name in sorted(registry.available("operator")) if name.startswith(f"{kind}.")]
    name = draw(st.sampled_from([one for one in names if one.partition(".")[2] not in NEEDS_LOGPROBS]))
    return {"operator": name.partition(".")[2], **PARAMETERS.get(name, {})}


@st.composite
def schemes(draw: st.DrawFn) -> Preset:
    """A preset of random operators from the registry that fit each other."""
    n = draw(st.sampled_from((2, 4)))
    data: dict[str, Any] = {
        "name": "drawn", "population": n, "parents": draw(st.sampled_from((1, 2))),
        "generations": draw(st.integers(2, 3)), "select": spec(draw, "select"), "evaluate": spec(draw, "evaluate"),
        "replace": spec(draw, "replace"), "finish": spec(draw, "finish"), "vary": [spec(draw, "vary")],
    }  # fmt: skip
    if draw(st.booleans()):
        data["stop"] = [spec(draw, "stop")]
    preset = Preset.from_plain(data, "a drawn preset")
    with contextlib.suppress(UserError):
        build(preset)
        return preset
    for key, name in (
        ("select", "uniform"),
        ("vary", "aggregate"),
        ("evaluate", "agreement"),
        ("replace", "generational"),
    ):
        data[key] = [{"operator": name}] if key == "vary" else {"operator": name}
        preset = Preset.from_plain(data, "a drawn preset")
        with contextlib.suppress(UserError):
            build(preset)
            return preset
    return preset


class Evolution(RuleBasedStateMachine):
    """One run of two problems that is interrupted and resumed until it ends, beside one that never was."""

    def __init__(self) -> None:
        super().__init__()
        self.exit = contextlib.ExitStack()
        self.out: Path = self.exit.enter_context(run_directory())
        self.done = False
        self.dead = False
        self.stored: Counter[str] = Counter()

    @initialize(preset=schemes(), behaviour=behaviours(), seed=seeds(), answers=st.sampled_from(("4", "5")))
    def begin(self, preset: Preset, behaviour: Behaviour, seed: int, answers: str) -> None:
        self.preset, self.behaviour, self.seed = preset, behaviour, seed
        self.problems = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", answers) for i in range(2)]
        self.books = Ledger(Scripted(behaviour))
        self.oracle = build(preset).oracle
        with run_directory() as straight:
            ledger = Ledger(Scripted(behaviour))
            evolve(self.problems, preset, ledger, out=straight, seed=seed)
            self.expected, self.expected_tokens = database(straight), ledger.tokens
            self.expected_asked = ledger.asked
            self.expected_rows = contents(straight)

    def evolve(self, **options: Any) -> None:
        self.before = Counter(self.books.asked)
        known = self._stored()
        with contextlib.suppress(BackendError):
            run = evolve(self.problems, self.preset, self.books, out=self.out, seed=self.seed, **options)
            self.done = run.complete
        again = {name for name in known if self.books.asked[name] > self.before[name]}
        assert not again, f"I2: asked again though stored: {sorted(again)}"

    @precondition(lambda self: not self.done)
    @rule(after=st.integers(1, 6), concurrency=st.integers(1, 5))
    def the_model_dies(self, after: int, concurrency: int) -> None:
        self.books.die_at = self.books.calls + after
        self.books.error = lambda: BackendError("died as scripted")
        self.evolve(concurrency=concurrency)
        self.books.die_at = None

    @precondition(lambda self: not self.done)
    @rule(order=st.sampled_from(("first", "last", "any", "starve")), salt=st.integers(0, 9))
    def it_is_resumed_to_the_end(self, order: str, salt: int) -> None:
        self.books.inner = Reordering(self.behaviour, order=order, seed=salt)  # type: ignore[arg-type]
        self.evolve()
        assert self.done

    @precondition(lambda self: self.done)
    @rule()
    def a_complete_run_is_started_again(self) -> None:
        self.evolve()
        assert self.books.asked == self.before

    @precondition(lambda self: self.done and not self.oracle)
    @rule()
    def references_are_changed(self) -> None:
        """I3: nothing that the run asked or chose changes with them."""
        others = [Problem(one.id, one.question, one.format, one.grader, "another") for one in self.problems]
        with run_directory() as out:
            evolve(others, self.preset, Scripted(self.behaviour), out=out, seed=self.seed)
            rows = contents(out)
        for table in ("completions", "candidates", "populations", "answers"):
            assert rows[table] == self.expected_rows[table], f"I3: {table} differ with the reference"

    @invariant()
    def a_complete_run_is_the_uninterrupted_one(self) -> None:
        """I1, I2: the same bytes, at any concurrency, completion order and number of interruptions."""
        if self.done:
            assert database(self.out) == self.expected
            assert {*self.books.asked} == {*self.expected_asked}

    @invariant()
    def tokens_are_those_the_model_reported(self) -> None:
        """I8."""
        if self.done:
            assert self.books.tokens == self.expected_tokens

    @invariant()
    def parents_are_earlier_and_alive(self) -> None:
        """I4, I6: every parent is an earlier candidate that did not fail; what fell away is named."""
        rows = self._rows()["candidates"]
        failed = {(row[0], f"{row[1]}.{row[2]}"): self._failed(row) for row in rows}
        for row in rows:
            for uid in json.loads(row[4]):
                assert int(uid.partition(".")[0]) <= row[1]
                assert not failed[row[0], uid], f"I6: {uid} failed and is a parent of {row[1]}.{row[2]}"

    @invariant()
    def what_is_stored_stays_stored(self) -> None:
        """I2: a run directory only grows."""
        now = self._stored()
        assert now >= self.stored
        self.stored = now

    def _failed(self, row: tuple[Any, ...]) -> bool:
        return "failed" in [one for one in row if isinstance(one, str)]

    def _rows(self) -> dict[str, list[tuple[Any, ...]]]:
        exists = (self.out / "run.db").exists()
        return contents(self.out) if exists else {"candidates": [], "completions": [], "problems": []}

    def _stored(self) -> Counter[str]:
        rows = self._rows()
        names = {order: name for order, name, *_ in rows["problems"]}
        return Counter(f"{names[row[0]]}/{row[1]}/{row[2]}/{row[3]}/{row[4]}" for row in rows["completions"])

    def teardown(self) -> None:
        self.exit.close()


TestWholeEvolutions = Evolution.TestCase
TestWholeEvolutions.settings = settings(
    max_examples=12, stateful_step_count=5, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)  # fmt: skip
