"""I6: a failed, truncated or hostile completion never ends a run and never becomes an unmarked parent."""

# ruff: noqa: ARG005

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm import BackendError, Completion, Preset, Problem, Request, RequestError, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.testing import (
    HOSTILE,
    Behaviour,
    behaviours,
    contents,
    hostile_texts,
    presets,
    problem_sets,
    run_directory,
    seeds,
)

FORMATS = ("boxed", "tags", "option", "code", "text")


@settings(max_examples=40)
@given(problems=problem_sets(), preset=presets(), behaviour=behaviours(), seed=seeds())
def test_every_candidate_is_accounted_for_and_no_failed_one_is_a_parent(
    problems: list[Problem], preset: Preset, behaviour: Behaviour, seed: int
) -> None:
    with run_directory() as out:
        run = evolve(problems, preset, Scripted(behaviour), out=out, seed=seed)
        assert run.complete
        rows = contents(out)
        populations = [found for _, found in run.populations()]
    status = {(row[0], f"{row[1]}.{row[2]}"): (row[6], row[7]) for row in rows["candidates"]}
    assert len(status) == len(problems) * preset.population * preset.generations
    for row in rows["candidates"]:
        for uid in json.loads(row[4]):
            assert status[row[0], uid][0] != "failed"
        for uid in json.loads(row[5]):
            assert status[row[0], uid][0] == "failed"
        assert (row[6] == "failed") == bool(row[7]), "a failed candidate says why, and no other does"
    cut = {
        (row[0], f"{row[1]}.{row[2]}") for row in rows["completions"] if row[9] == "length" and row[7].strip()
    }
    assert all(status[one][0] == "truncated" for one in cut)
    for found in populations:
        assert [len(one.members) for one in found] == [preset.population] * preset.generations
    for result, found in zip(run_results(rows), populations, strict=True):
        alive = [one for one in found[-1].members if not one.failed]
        assert (result is None) == (not alive)


def run_results(rows: dict[str, list[tuple[object, ...]]]) -> list[object]:
    return [row[1] for row in rows["answers"]]


@pytest.mark.parametrize("name", HOSTILE)
def test_one_hostile_text_as_every_answer(name: str) -> None:
    """In every answer format, in every role, within seconds."""
    problems = [Problem(form, "what?", form, "exact", "1") for form in FORMATS]
    settings = {"population": 2, "parents": 2, "generations": 2}
    started = time.monotonic()
    with run_directory() as out:
        run = evolve(
            problems, "smoke", Scripted(lambda request: Completion(HOSTILE[name])), out=out, **settings
        )
        assert run.complete
        first, *_ = contents(out)["completions"]
        run.to_json()
        texts = {one.text for _, found in run.populations() for members in found for one in members.members}
    assert time.monotonic() - started < 20
    stored = first[7]
    assert texts == {stored}
    assert stored == HOSTILE[name].encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@settings(max_examples=30)
@given(
    texts=st.lists(hostile_texts(), min_size=1, max_size=4), preset=presets(max_generations=3), seed=seeds()
)
def test_any_text_at_all(texts: list[str], preset: Preset, seed: int) -> None:
    def respond(request: Request) -> Completion:
        return Completion(texts[request.seed % len(texts)], "length" if request.seed % 3 == 0 else "stop")

    with run_directory() as out:
        problems = [Problem(form, "what?", form, "exact", "1") for form in ("boxed", "text")]
        assert evolve(problems, preset, Scripted(respond), out=out, seed=seed).complete


@pytest.mark.parametrize("evaluate", [None, "agreement"], ids=["blind", "informed"])
@pytest.mark.parametrize("dead", [{0}, {1}, {0, 1, 2}, {2}], ids=str)
def test_a_whole_generation_that_fails(dead: set[int], evaluate: str | None) -> None:
    """The next one is sampled afresh; a run without a last generation has no answer, and says so."""

    def respond(request: Request) -> str | BaseException:
        generation = int(request.id.split("/")[1])
        return RequestError("server_error", "gone") if generation in dead else "\\boxed{4}"

    settings = {"evaluate": evaluate, "select": "best"} if evaluate else {}
    with run_directory() as out:
        run = evolve(
            [Problem("p", "2 + 2?", "boxed", "exact", "4")], "smoke", Scripted(respond), out=out, **settings
        )
        assert run.complete
        for index in range(3):
            members = run.population("p", index)
            assert {one.failed for one in members} == {index in dead}
            if index > 0 and index - 1 in dead:
                assert {one.operator for one in members} == {"sample"}
                assert {one.parents for one in members} == {()}
        (result,) = run.results()
        assert result.answer == (None if 2 in dead else "4")
        metrics = [row.plain() for row in run.generations()]
    assert [row["failed"] for row in metrics] == [4 if index in dead else 0 for index in range(3)]
    assert [row["pass@1"] for row in metrics] == [None if index in dead else 1.0 for index in range(3)]


def test_failures_are_not_asked_again_when_resumed() -> None:
    """A failure is a stored outcome like any other: a resumed run equals the uninterrupted one."""
    model = Scripted(Behaviour(fail=1.0), record=True)
    with run_directory() as out:
        for _ in range(2):
            evolve([Problem("p", "q", "boxed")], "smoke", model, out=out)
    assert len(model.calls) == 12


def test_a_reason_that_cannot_be_encoded_is_stored_all_the_same() -> None:
    model = Scripted(lambda request: RequestError("bad\ud800", "worse\udfff"))
    with run_directory() as out:
        assert evolve([Problem("p", "q", "boxed")], "smoke", model, out=out).complete


def test_a_model_that_breaks_its_contract_ends_the_run_with_one_clear_error_and_resumes() -> None:
    def respond(request: Request) -> str:
        if broken and request.id == "p/1/2/vary/0":
            raise ZeroDivisionError("inside the engine")
        return "\\boxed{4}"

    broken = True
    with run_directory() as out:
        with pytest.raises(BackendError, match="ZeroDivisionError: inside the engine"):
            evolve([Problem("p", "q", "boxed")], "smoke", Scripted(respond), out=out)
        broken = False
        assert evolve([Problem("p", "q", "boxed")], "smoke", Scripted(respond), out=out).complete
