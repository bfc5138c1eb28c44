"""Tasks of Inspect as problem sets: samples, verdicts by replay, and what is refused before a token is spent."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.verdict import Grade
from evolve_llm.scheme.problem_sets import load_problems

pytest.importorskip("inspect_ai")
Image = pytest.importorskip("PIL.Image")

TASKS = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample, json_dataset
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, ContentAudio, ContentImage, ContentText, get_model
from inspect_ai.scorer import Score, accuracy, choice, includes, match, model_graded_fact, scorer
from inspect_ai.solver import generate, multiple_choice

@scorer(metrics=[accuracy()])
def shares():
    async def score(state, target):
        text = state.output.completion
        if text == "hang":
            while True: pass
        if text == "raise":
            raise ValueError("the scorer cannot read this")
        if text == "ask":
            return Score(value=(await get_model().generate("?")).completion)
        return Score(value={"half": 0.5, "true": True, "many": 7, "dict": {"a": 1, "b": 0}}.get(text, "I"))
    return score

@task
def sums(size=3):
    return Task(
        dataset=[Sample(id=f"s{n}", input=f"What is {n}+{n}?", target=str(2 * n),
                        metadata={"level": n, "why": "secret"}) for n in range(size)],
        scorer=[match(), includes()],
    )

@task
def picks():
    return Task(
        dataset=[Sample(input=[ChatMessageSystem(content="Be brief."), ChatMessageUser(content="Which is hot?")],
                        choices=["ice", "fire", "snow"], target="B")],
        solver=[multiple_choice()], scorer=choice(),
    )

@task
def from_file():
    return Task(dataset=json_dataset("rows.jsonl"), scorer=match())

@task
def own():
    return Task(dataset=[Sample(input="x", target="y")], scorer=shares())

@task
def judged():
    return Task(dataset=[Sample(input="x", target="y")], scorer=model_graded_fact())

@task
def docker():
    return Task(dataset=[Sample(input="x", target="y")], scorer=match(), sandbox="docker")

@task
def local_sample():
    return Task(dataset=[Sample(input="x", target="y", sandbox="local")], scorer=match())

@task
def pictured():
    return Task(dataset=[Sample(input=[ChatMessageUser(content=[ContentText(text="x"), ContentImage(image="a.png")])],
                                target="y")], scorer=match())

@task
def heard():
    return Task(dataset=[Sample(input=[ChatMessageUser(content=[ContentAudio(audio="a.wav", format="wav")])],
                                target="y")], scorer=match())

@task
def two_right():
    return Task(dataset=[Sample(input="x", choices=["a", "b"], target=["A", "B"])], scorer=choice())

@task
def unscored():
    return Task(dataset=[Sample(input="x", target="y")])

@task
def broken():
    raise RuntimeError("no data")
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "tasks.py").write_text(TASKS)
    (folder / "rows.jsonl").write_text(json.dumps({"input": "1+1?", "target": "2", "id": 7}) + "\n")
    Image.new("RGB", (4, 3)).save(folder / "a.png")
    return folder / "tasks.py"


def graded(pairs: list[tuple[Problem, str]]) -> list[tuple[Grade, str, float | None]]:
    async def all_of_them() -> list[Any]:
        async with GradingPool(deadline=60) as pool:
            return await asyncio.gather(*(pool.grade(problem, answer) for problem, answer in pairs))

    return [(one.grade, one.rule, one.score) for one in asyncio.run(all_of_them())]


def test_samples_become_problems_and_their_targets_stay_in_the_reference(tasks: Path) -> None:
    found = load_problems(f"inspect:{tasks}@sums?size=4&metadata=level")
    assert [(one.id, one.question, one.format, dict(one.metadata)) for one in found] == [
        (f"sums/s{n}", f"What is {n}+{n}?", "text", {"level": str(n)}) for n in range(4)
    ]
    assert found == load_problems(f"inspect:{tasks}@sums?size=4&metadata=level")
    assert "secret" not in str([one.public() for one in found])
    (choice,) = load_problems(f"inspect:{tasks}@picks")
    assert (choice.question, choice.format) == (
        "Be brief.\n\nWhich is hot?\n\nA. ice\nB. fire\nC. snow",
        "option",
    )
    assert load_problems(f"inspect:{tasks}@from_file")[0].id == "from_file/7"
    (seen,) = load_problems(f"inspect:{tasks}@pictured")
    assert (seen.question, [(one.width, one.height) for one in seen.pictures]) == ("x", [(4, 3)])


def test_verdicts_are_those_of_the_scorer(tasks: Path) -> None:
    sums = load_problems(f"inspect:{tasks}@sums")[1]
    boxed = load_problems(f"inspect:{tasks}@sums?format=boxed&completion=ANSWER: {{answer}}&scorer=includes")[
        1
    ]
    (choice,), (own,) = load_problems(f"inspect:{tasks}@picks"), load_problems(f"inspect:{tasks}@own")
    (picked,) = load_problems(f"inspect:{tasks}@own?score=a")
    told = graded([
        (sums, "It is\nANSWER: 2"), (sums, "ANSWER: 3"), (boxed, "2"), (choice, "B"), (choice, "A"),
        (own, "half"), (own, "true"), (own, "other"), (picked, "dict"),
    ])  # fmt: skip
    assert told == [
        (Grade.CORRECT, "match", 1.0), (Grade.INCORRECT, "match", 0.0), (Grade.CORRECT, "includes", 1.0),
        (Grade.CORRECT, "choice", 1.0), (Grade.INCORRECT, "choice", 0.0), (Grade.INCORRECT, "shares", 0.5),
        (Grade.CORRECT, "shares", 1.0), (Grade.INCORRECT, "shares", 0.0), (Grade.CORRECT, "shares", 1.0),
    ]  # fmt: skip


def test_grading_in_the_process_leaves_its_logging_as_it_was(
    tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inspect sets the root logger's level the first time it runs."""
    from evolve_llm_problems.inspect_tasks.loading import sample_digest
    from evolve_llm_problems.inspect_tasks.replay import Replay
    from inspect_ai._util import logger

    monkeypatch.setitem(logger._logHandler, "handler", None)
    level = logging.root.level
    one = Replay(f"{tasks}@sums", {})
    one.score(sample_digest(next(iter(one.task.dataset))), "0", scorer="match")
    assert logging.root.level == level


def test_a_scorer_that_fails_leaves_answers_ungraded(tasks: Path) -> None:
    (own,) = load_problems(f"inspect:{tasks}@own")
    gone = Problem(
        own.id, own.question, own.format, own.grader, {**own.reference, "sample": "of another day"}
    )
    empty = Problem(own.id, own.question, own.format, own.grader, {"other": 1})
    told = graded(
        [(own, "raise"), (own, "ask"), (own, "many"), (own, "dict"), (gone, "half"), (empty, "half")]
    )
    assert [grade for grade, _, _ in told] == [Grade.UNGRADED] * 6
    assert [rule for _, rule, _ in told] == [
        *["scorer-failed"] * 2, *["score-unclear"] * 2, "scorer-failed", "bad-reference",
    ]  # fmt: skip


def test_a_scorer_that_hangs_is_ended_and_the_next_answer_is_graded(
    tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evolve_llm_problems.inspect_tasks.grader import InspectGrader

    monkeypatch.setattr(InspectGrader, "deadline", lambda *_: 10.0)
    (own,) = load_problems(f"inspect:{tasks}@own")

    async def both() -> list[Any]:
        async with GradingPool(deadline=10) as pool:
            return [await pool.grade(own, "hang"), await pool.grade(own, "true")]

    hung, after = asyncio.run(both())
    assert hung.grade is Grade.UNGRADED
    assert after.correct


def test_two_chains_that_state_one_answer_are_one_class(tasks: Path) -> None:
    sums = load_problems(f"inspect:{tasks}@sums")[1]

    async def classes() -> list[str]:
        async with GradingPool() as pool:
            return [
                await pool.canonical(sums, one)
                for one in ("so\nANSWER: Two", "ANSWER:  two ", "ANSWER: 3", "two")
            ]

    same, too, other, bare = asyncio.run(classes())
    assert same == too == bare != other


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("@none", "holds no Inspect task 'none'"),
        ("", "holds several Inspect tasks; add one: @sums, @picks"),
        ("@docker", r"wants a sandbox \(docker\)"),
        ("@local_sample", r"wants a sandbox \(local\)"),
        ("@judged", r"asks a model; name one .*\?judge=openai/NAME"),
        ("@heard", "holds audio beside text and pictures"),
        ("@two_right", r"several right choices; add \?format=text"),
        ("@unscored", "has no scorer"),
        ("@broken", "cannot be made: RuntimeError: no data"),
        ("@sums?colour=red", "cannot be made: TypeError"),
        ("@sums?scorer=exact", "has no scorer 'exact'"),
        ("@sums?completion=nothing", "must hold {answer} once"),
    ],
)
def test_what_cannot_be_replayed_is_refused(tasks: Path, task: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_problems(f"inspect:{tasks}{task}")


def test_a_file_that_cannot_be_imported_is_refused(tmp_path: Path) -> None:
    for name, text in {
        "syntax": "def (",
        "missing": "import not_there_at_all",
        "exits": "raise SystemExit(3)",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(UserError, match="cannot be imported"):
            load_problems(f"inspect:{tmp_path / name}.py")
    (tmp_path / "plain.py").write_text("x = 1")
    for spec, message in {
        str(tmp_path / "plain.py"): "holds no Inspect task", str(tmp_path / "gone.py"): "no such file",
        "not_a_module_at_all@x": "cannot be imported", "": "needs a task",
    }.items():  # fmt: skip
        with pytest.raises(UserError, match=message):
            load_problems(f"inspect:{spec}")
