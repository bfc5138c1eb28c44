"""Credit by asking, end to end: on a model whose habits are known, killed and resumed, and where it must refuse."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from evolve_llm import BackendError, Problem, Run, UserError, evolve
from evolve_llm.backends.scripted import Answer, Scripted
from evolve_llm.engine.replaying import purpose_of
from evolve_llm.nouns.errors import BudgetReached, RequestError
from evolve_llm.nouns.request import Request
from evolve_llm.session.asking import RECORDING, Answered, Asking
from evolve_llm.testing import contents, database

PROBLEMS = [Problem(f"p{n}", f"What is {n} + {n}?", "boxed", "exact", str(2 * n)) for n in range(5)]
_BOX = re.compile(r"\\boxed\{(\d+)\}")


def trusts_the_last(request: Request) -> Answer:
    """A model that copies the last attempt it is shown, and alone is right every second time."""
    shown = _BOX.findall(request.prompt.messages[-1].content)
    if shown:
        return f"So it is \\boxed{{{shown[-1]}}}."
    number = int(request.problem.removeprefix("p"))
    return f"It is \\boxed{{{2 * number if request.seed % 2 else 999}}}."


def model(**options: Any) -> Scripted:
    return Scripted(trusts_the_last, **options)


def made(path: Path, **changes: Any) -> Path:
    shape: dict[str, Any] = {"population": 8, "parents": 3, "generations": 3, **changes}
    backend = shape.pop("model", None) or model()
    evolve(shape.pop("problems", PROBLEMS), shape.pop("preset", "rsa"), backend, out=path, **shape)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("asking") / "run")


def asked(run: Path, cache: Path, backend: Scripted | None = None, **options: Any) -> Answered:
    return asyncio.run(Asking(run, backend or model(), cache=cache, **options).carry_out())


def test_a_model_that_trusts_the_last_attempt_is_seen_through(run: Path, tmp_path: Path) -> None:
    before = database(run)
    asking = Asking(run, model(), children=40, repeats=2, cache=tmp_path / "a.db")
    answered = asyncio.run(asking.carry_out())
    assert database(run) == before
    assert answered.requests == asking.plan().requests
    assert (answered.planned, answered.found.left_out, answered.spent) == (40, 0, False)
    (section,) = answered.found.sections
    assert section.again is not None
    assert section.again.value == pytest.approx(0.0)
    assert [one.difference.value for one in section.moved] == pytest.approx([1.0] * 3)
    assert [one.value for one in section.places] == pytest.approx([0.0, 0.0, 1.0])
    by_place = {one.key: one for one in section.without_by_place}
    for place in (1, 2):  # only who stands last is missed
        for mean in (by_place[place].right, by_place[place].wrong):
            assert mean is not None
            assert mean.value == 0.0
    assert by_place[3].right is not None
    assert by_place[3].right.value > 0
    values = {one.key: one for one in section.values}
    assert section.shared is not None
    assert section.as_sent is not None
    assert section.nobody is not None
    assert section.shared.value == pytest.approx(section.as_sent.value - section.nobody.value)
    assert values[3].right is not None
    assert values[0].wrong is not None
    assert values[3].right.value > 0 > values[0].wrong.value
    alone = section.alone[-1]
    assert alone.right is not None
    assert alone.wrong is not None
    assert alone.right.value > 0 > alone.wrong.value


def test_the_same_call_asks_nobody_again_and_gives_the_same(run: Path, tmp_path: Path) -> None:
    first, second = model(), model()
    one = asked(run, tmp_path / "a.db", first, children=12)
    two = asked(run, tmp_path / "a.db", second, children=12, concurrency=1)
    assert (second.call_count, two.recorded) == (0, two.requests)
    assert two.found == one.found
    assert asked(run, tmp_path / "b.db", children=12, concurrency=3).found == one.found
    assert asked(run, tmp_path / "a.db", children=12, seed=1).recorded < two.requests


def test_a_model_that_dies_half_way_costs_nothing_twice(run: Path, tmp_path: Path) -> None:
    whole = asked(run, tmp_path / "whole.db", children=12)
    calls = 0
    for _ in range(3):
        dying = model(die_after=60)
        with pytest.raises(BackendError, match="died"):
            asked(run, tmp_path / "a.db", dying, children=12, concurrency=4)
        calls += 60
    last = model()
    resumed = asked(run, tmp_path / "a.db", last, children=12)
    assert resumed.found == whole.found
    assert last.call_count + calls == whole.requests
    assert resumed.recorded == calls


def test_a_budget_ends_it_with_what_a_smaller_sample_says(run: Path, tmp_path: Path) -> None:
    whole = asked(run, tmp_path / "whole.db", children=12)
    cut = asked(run, tmp_path / "a.db", children=12, budget_tokens=whole.tokens // 2, concurrency=2)
    assert cut.spent
    assert 0 < cut.found.children < 12
    assert whole.tokens // 2 <= cut.tokens < whole.tokens
    assert asked(run, tmp_path / "a.db", children=12).found == whole.found
    with pytest.raises(BudgetReached, match="before one child was asked"):
        asked(run, tmp_path / "b.db", children=12, budget_tokens=1, concurrency=1)


def test_the_requests_are_nobody_elses(run: Path, tmp_path: Path) -> None:
    spy = model(record=True)
    asked(run, tmp_path / "a.db", spy, children=12, repeats=3)
    ids = {one.id for one in spy.calls}
    seeds = {one.seed for one in spy.calls}
    assert len(ids) == len(seeds) == len(spy.calls)
    stored = {row[6] for row in contents(run)["completions"]}
    assert not seeds & stored
    assert all(one.address.purpose.startswith("credit/") for one in spy.calls)
    assert not purpose_of((0, 1), 2).isidentifier()
    questions = [one for one in spy.calls if one.address.purpose.startswith("credit//")]
    assert len(questions) == 12 * 3
    assert all("Attempt" not in one.prompt.messages[-1].content for one in questions)


def test_what_cannot_be_graded_is_left_out_and_is_not_wrong(run: Path, tmp_path: Path) -> None:
    def fails_without_parents(request: Request) -> Answer:
        if not _BOX.search(request.prompt.messages[-1].content):
            return RequestError("server_error", "no")
        return trusts_the_last(request)

    answered = asked(run, tmp_path / "a.db", Scripted(fails_without_parents), children=10)
    assert (answered.found.children, answered.found.left_out, answered.failed) == (0, 10, 40)
    empty = asked(run, tmp_path / "b.db", Scripted(lambda _: " "), children=4)
    assert (empty.found.children, empty.found.left_out) == (0, 4)
    fewer = asked(run, tmp_path / "a.db", Scripted(fails_without_parents), children=10, replays=["order"])
    assert fewer.found.children == 10


def test_variations_of_several_calls_and_copies_are_asked_again_too(tmp_path: Path) -> None:
    for vary, calls in (("debate", 3), ("summarize_aggregate", 1), ("consensus", 1)):
        path = made(tmp_path / vary, parents=2, vary=vary)
        asking = Asking(path, model(), children=10, repeats=2)
        answered = asyncio.run(asking.carry_out())
        assert answered.found.children > 0
        assert answered.requests <= asking.plan().requests
        if calls > 1:
            assert asking.plan().requests == 2 * calls * asking.plan().replays
        (section,) = answered.found.sections
        assert section.again is not None
        assert section.again.value == pytest.approx(0.0), vary
    assert (tmp_path / "debate" / RECORDING).is_file()


def test_what_cannot_be_asked_is_refused(run: Path, tmp_path: Path) -> None:
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (run, {"children": 0}, "children must be at least 1"),
        (run, {"repeats": 0}, "repeats must be at least 1"),
        (run, {"seed": -1}, "the seed must be"),
        (run, {"replays": ["sideways"]}, "the replays are without, order, shapley"),
        (run, {"replays": []}, "got none"),
        (run, {"model": "scripted:answers=1"}, "the run's model is 'scripted', not"),
        (run / "none", {}, "is not a run directory"),
        (made(tmp_path / "k1", parents=1), {}, "a preset with K >= 2"),
        (made(tmp_path / "bare", problems=[Problem("p1", "Why?", "boxed")]), {}, "problems with references"),
        (made(tmp_path / "k5", parents=5), {}, "with K = 5 these are 32 prompts"),
    ]
    for path, options, message in cases:
        with pytest.raises(UserError, match=message):
            Asking(path, options.pop("model", None) or model(), **options)
    assert Asking(tmp_path / "k5", model(), replays=["without", "order"]).plan().children == 60
    assert Asking(run, "scripted:answers=1", other_model=True).plan().children == 60


def test_an_unfinished_run_and_operators_of_the_run_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError):
        made(tmp_path / "half", model=model(die_after=60))
    with pytest.raises(UserError, match="is unfinished"):
        Asking(tmp_path / "half", model())
    path = made(tmp_path / "run")
    described = json.loads((path / "run.json").read_text())
    described["config"]["preset"]["vary"] = [{"operator": "antigravity:fly"}]
    (path / "run.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match="no code that only a run names"):
        Asking(path, model())


def test_other_templates_must_be_named(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "aggregate.md").write_text(
        "{{ question }} {% for one in candidates %}Attempt {{ one }} {% endfor %}"
    )
    path = made(tmp_path / "run", prompts=folder)
    with pytest.raises(UserError, match="give that folder"):
        Asking(path, model())
    assert Asking(path, model(), prompts=folder).inexact == 0


def test_the_result_is_plain_data(run: Path, tmp_path: Path) -> None:
    answered = asked(run, tmp_path / "a.db", children=8)
    assert json.loads(json.dumps(asdict(answered)))["found"]["children"] == 8
    assert Run(run).complete
