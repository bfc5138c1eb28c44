"""The SPEC grammar, and what is checked before a run may begin."""

import importlib
import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme import problem_sets, registry
from evolve_llm.scheme.problem_sets import ProblemSpec, load_problems, parse_spec, scalar

DOCS = Path(__file__).parents[2] / "docs" / "problems.md"


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    path = tmp_path / "three.jsonl"
    path.write_text("".join(json.dumps({"question": f"{i}+1?", "answer": i + 1}) + "\n" for i in range(3)))
    return path


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("rg_games", [ProblemSpec("rg_games")]),
        ("rg_games?size=3&seed=1", [ProblemSpec("rg_games", "", {"size": "3", "seed": "1"})]),
        (
            "reasoning_gym:chain_sum,maze?x=a=b",
            [ProblemSpec("reasoning_gym", "chain_sum,maze", {"x": "a=b"})],
        ),
        ("file:a+b.csv", [ProblemSpec("file", "a+b.csv")]),
        ("data/q.parquet?question=q", [ProblemSpec("file", "data/q.parquet", {"question": "q"})]),
        ("rg_games+aime25:a.jsonl", [ProblemSpec("rg_games"), ProblemSpec("aime25", "a.jsonl")]),
    ],
)
def test_a_spec_is_read(spec: str, expected: list[ProblemSpec]) -> None:
    assert parse_spec(spec) == expected


def test_an_existing_path_is_taken_whole_whatever_is_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "what?a=b+c.jsonl"
    path.write_text('{"question": "x"}\n')
    assert [problem.question for problem in load_problems(str(path))] == ["x"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "no problem set was given"),
        ("rg_gamse", "Did you mean 'rg_games'.*Available: .*aime25"),
        ("nothing.jsonl", "no such file"),
        ("rg_games?size", "write key=value"),
        ("rg_games?size=ten", "option size='ten' of the problem set 'rg_games' is wrong"),
        ("rg_games?sise=3", "no option 'sise'. Did you mean 'size'.*Available: size, seed"),
        ("rg_games:maze", "takes no argument"),
        ("rg_games?size=0", "size must be at least 1"),
        ("rg_games?seed=-1", "seed must be 0 or more"),
        ("reasoning_gym", "needs a task"),
        ("reasoning_gym:maze,maze", "more than once"),
    ],
)
def test_a_bad_spec_says_what_to_write(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=f"(?s){message}"):
        load_problems(spec)


def test_the_limit_cuts_and_must_be_positive(jsonl: Path) -> None:
    assert len(load_problems(str(jsonl), limit=2)) == 2
    assert len(load_problems(str(jsonl), limit=9)) == 3
    with pytest.raises(UserError, match="at least 1, got 0"):
        load_problems(str(jsonl), limit=0)


def test_options_as_values_win_over_those_in_the_spec(jsonl: Path) -> None:
    problems = load_problems(f"{jsonl}?format=tags&grader=math", options={"format": "boxed"})
    assert {(problem.format, problem.grader) for problem in problems} == {("boxed", "math")}
    with pytest.raises(UserError, match="one problem set only"):
        load_problems(f"{jsonl}+{jsonl}", options={"format": "tags"})


def test_joined_sets_must_not_share_ids(jsonl: Path) -> None:
    with pytest.raises(UserError, match="the id 'three/0': number 1 and number 4"):
        load_problems(f"{jsonl}+{jsonl}")
    assert len(load_problems(f"{jsonl}+file:{jsonl}?prefix=again")) == 6


def test_unknown_formats_and_graders_are_found_early(jsonl: Path) -> None:
    with pytest.raises(UserError, match=r"unknown answer format 'boxd'.* 'boxed'"):
        load_problems(f"{jsonl}?format=boxd")
    with pytest.raises(UserError, match=r"unknown grader 'maths'.* 'math'"):
        load_problems(f"{jsonl}?grader=maths")


@pytest.mark.parametrize(
    ("problems", "message"),
    [
        ([], "holds no problems"),
        (["text"], "a str as problem 1, not a Problem"),
        ([Problem("", "x")], "an empty id"),
        ([Problem("a", " ")], "an empty question"),
        ([Problem("a", "x", reference={1, 2})], "'a' cannot be written as JSON"),
        ([Problem("a", "x", reference=math.nan)], "'a' cannot be written as JSON"),
        ([Problem("a", "x\ud800")], "surrogate"),
    ],
)
def test_a_loader_that_gives_nonsense_is_told_so(
    problems: list[Problem], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problem_sets.registry, "load", lambda kind, name: lambda argument: problems)  # noqa: ARG005
    with pytest.raises(UserError, match=message):
        load_problems("rg_games")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-2.5", -2.5),
        ("true", True),
        ('"3"', "3"),
        ("[1, 2]", [1, 2]),
        ("plain text", "plain text"),
        ("nan", "nan"),
        ("1 # one", "1 # one"),
        ("2020-01-01", "2020-01-01"),
        ("", ""),
    ],
)
def test_values_are_read_as_toml_would(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


@given(st.text())
def test_any_value_is_some_scalar(text: str) -> None:
    assert isinstance(scalar(text), bool | int | float | str | list)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The problem set of docs/problems.md, installed."""
    blocks = re.findall(r"```(\w+) title=\"([^\"]+)\"\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    files = {title: body for _, title, body in blocks}
    (tmp_path / "dates.py").write_text(files["dates.py"])
    entry = re.search(r'^(\w+) = "([\w.:]+)"$', files["pyproject.toml"], re.MULTILINE)
    assert entry is not None
    info = tmp_path / "dates-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dates\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[evolve_llm.problems]\n{entry[1]} = {entry[2]}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    _forget()
    yield
    sys.modules.pop("dates", None)
    _forget()


def _forget() -> None:
    importlib.invalidate_caches()
    registry.available.cache_clear()
    registry.load.cache_clear()


@pytest.mark.usefixtures("plugin")
def test_the_plug_in_of_the_docs_works() -> None:
    problems = load_problems("weekdays:1900-01-01?days=3")
    assert [(problem.id, problem.reference) for problem in problems] == [
        ("weekdays/1900-01-01", "Monday"),
        ("weekdays/1900-01-02", "Tuesday"),
        ("weekdays/1900-01-03", "Wednesday"),
    ]
    with pytest.raises(UserError, match="Available: days"):
        load_problems("weekdays:1900-01-01?day=3")
    with pytest.raises(UserError, match="not a date"):
        load_problems("weekdays:soon")
