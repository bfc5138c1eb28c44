"""Problems from files: what is read is what was written, guesses are sensible, every fault is one UserError."""

import contextlib
import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.problem_sets import load_problems

# Unicode a file can hold: no surrogates, no NUL. The loaders keep all else, line ends and all.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1).filter(
    lambda text: text.strip() != "" and not text.lstrip().startswith("[{")
)
TABLES = st.lists(TEXT, min_size=1, max_size=5)


def _write(path: Path, rows: list[dict[str, object]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    elif path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
@settings(deadline=None, max_examples=40)
@given(questions=TABLES)
def test_any_question_survives_any_kind_of_file(
    suffix: str, questions: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("round") / f"set{suffix}"
    _write(path, [{"question": question, "answer": "7"} for question in questions])

    problems = load_problems(str(path))

    assert [problem.question for problem in problems] == questions
    assert [problem.id for problem in problems] == [f"set/{i}" for i in range(len(questions))]
    assert {problem.reference for problem in problems} == {"7"}


def _one(path: Path, row: dict[str, object], spec: str = "") -> object:
    return load_problems(f"{_write(path, [row])}{spec}")[0]


@pytest.mark.parametrize(
    ("row", "form", "grader", "reference"),
    [
        ({"question": "1+1?", "answer": "2"}, "boxed", "math", "2"),
        ({"problem": "1+1?", "answer": 2}, "boxed", "math", "2"),
        ({"problem": "x?", "answer": 2.0}, "boxed", "math", "2"),
        ({"problem": "x?", "answer": 2.5}, "boxed", "math", "2.5"),
        ({"problem": "x?", "answer": r"\frac{1}{2}"}, "boxed", "math", r"\frac{1}{2}"),
        ({"problem": "x?", "answer": "2x+1"}, "boxed", "math", "2x+1"),
        ({"problem": "x?", "solution": r"So \boxed{\frac{3}{4}}."}, "boxed", "math", r"\frac{3}{4}"),
        ({"question": "x?", "answer": "Half of 8 is 4.\n#### 4"}, "boxed", "math", "4"),
        ({"question": "Capital of France?", "answer": "Paris"}, "tags", "exact", "Paris"),
        ({"question": "Why?"}, "text", None, None),
        ({"question": "Why?", "answer": None}, "text", None, None),
        ({"question": "Which?\nA) x\nB) y", "answer": "b"}, "option", "option", "B"),
        ({"question": "Which?\nOption A : x\nOption B : y", "answer": "(A)"}, "option", "option", "A"),
        ({"question": "Which?", "choices": ["x", "y", "z"], "answer": 2}, "option", "option", "C"),
        ({"question": "Which?", "choices": ["x", "y"], "answer": "y"}, "option", "option", "B"),
        ({"prompt": [{"role": "user", "content": "1+1?"}], "target": "2"}, "boxed", "math", "2"),
        ({"question": "1?", "reward_model": {"ground_truth": "9"}}, "boxed", "math", "9"),
        ({"question": r"x? Put your final answer in \boxed{}.", "answer": "blue"}, "boxed", "math", "blue"),
    ],
)
def test_format_grader_and_reference_are_guessed(
    row: dict[str, object], form: str, grader: str | None, reference: str | None, tmp_path: Path
) -> None:
    problem = load_problems(str(_write(tmp_path / "a.jsonl", [row])))[0]

    assert (problem.format, problem.grader, problem.reference) == (form, grader, reference)


def test_choices_are_listed_in_the_question(tmp_path: Path) -> None:
    row = {"question": "Which?", "options": ["red", "blue"], "answer": "A"}
    problem = load_problems(str(_write(tmp_path / "a.jsonl", [row])))[0]
    assert problem.question == "Which?\n\nA. red\nB. blue"


def test_named_columns_format_and_grader_win(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", [{"question": "no", "meta": {"q": "yes"}, "key": "k1", "gold": "7"}])
    problem = load_problems(f"{path}?question=meta.q&answer=gold&id=key&format=tags&grader=exact")[0]
    assert (problem.question, problem.reference, problem.id) == ("yes", "7", "k1")
    assert (problem.format, problem.grader) == ("tags", "exact")


def test_a_system_message_stands_before_the_question(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    problem = load_problems(str(_write(tmp_path / "a.jsonl", [{"prompt": messages}])))[0]
    assert problem.question == "Be brief.\n\nWhy?"


def test_rows_of_reasoning_gym_keep_their_entry(tmp_path: Path) -> None:
    entry = {"question": "2 + 2 =", "answer": "4", "metadata": {"source_dataset": "chain_sum"}}
    row = {
        "prompt": [{"role": "user", "content": "2 + 2 = Put the final answer between <answer> tags."}],
        "reward_model": {"ground_truth": "4"},
        "extra_info": {"dataset_name": "chain_sum", "entry": json.dumps(entry)},
    }
    problem = load_problems(str(_write(tmp_path / "a.parquet", [row])))[0]
    assert problem.question == "2 + 2 ="
    assert (problem.format, problem.grader) == ("tags", "reasoning_gym")
    assert problem.reference == {"task": "chain_sum", "entry": entry}
    assert "4" not in json.dumps(dict(problem.metadata))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b"\n\n", "holds no problems"),
        ("a.jsonl", b'{"question": "x"}\n{"question": "y', "line 2 is not valid JSON.*half-written"),
        ("a.jsonl", b'{"question": "x"}\n[1]\n', "line 2 is a JSON array, not an object"),
        ("a.jsonl", b'{"question": NaN}\n', "NaN is not JSON"),
        ("a.jsonl", b'{"question": 1' + b"0" * 5000 + b"}\n", "not valid JSON"),
        ("a.jsonl", b"[" * 100_000, "not valid JSON"),
        ("a.jsonl", b"\x00\x01\x02", "NUL byte"),
        ("a.jsonl", '{"question": "né"}'.encode("latin1"), "line 1 is not UTF-8.*iconv"),
        ("a.jsonl", b'{"question": "\\ud800"}\n', "surrogate"),
        (
            "a.jsonl",
            b'{"id": "x", "question": "1"}\n{"id": "x", "question": "2"}\n',
            "id 'x': .*line 1 and .*line 2",
        ),
        (
            "a.jsonl",
            b'{"text": "x", "gold": "y"}\n',
            "The columns are 'text', 'gold'; name yours with .question=COLUMN",
        ),
        ("a.jsonl", b'{"question": "x"}\n{"gold": "y"}\n', "line 2 has no question"),
        ("a.jsonl", b'{"question": 3}\n', "of type int, not text"),
        ("a.jsonl", b'{"question": "x", "answer": {"a": 1}}\n', "answer is of type dict"),
        ("a.jsonl", b'{"question": "x", "id": [1]}\n', "id is of type list"),
        ("a.jsonl", b'{"prompt": [{"role": "assistant", "content": "x"}]}\n', "the user asks nothing"),
        ("a.jsonl", b'{"question": "x", "choices": ["a", "b"], "answer": "c"}\n', "none of its 2 choices"),
        ("a.json", b'{"question": "x"}', "must hold a JSON array"),
        ("a.json", b'[{"question": "x"}, ', "half-written"),
        ("a.csv", b"question,answer\n1+1,2\n\x00,3\n", "line 3 holds a NUL byte"),
        ("a.csv", b"question,answer\n1+1,2\nx\n", "line 3 has 1 cells, but the header names 2"),
        ("a.csv", b'question,answer\n"1+1,2\n', "line 2 is not valid CSV"),
        ("a.csv", b"question,question\n1,2\n", "two columns named 'question'"),
        ("a.csv", b"question,answer\n", "holds no problems"),
        ("a.parquet", b"PAR1 but cut", "not a readable parquet file"),
        ("a.txt", b"hello", "a .txt file; problems are read from"),
        ("a", b"hello", "a file without a suffix"),
    ],
)
def test_a_bad_file_is_one_clear_error(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"(?s){message}"):
        load_problems(str(tmp_path / name))


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "tsv", "parquet"])
@settings(deadline=None, max_examples=60)
@given(content=st.binary(max_size=200))
def test_no_bytes_make_a_traceback(
    suffix: str, content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("noise") / f"a.{suffix}"
    path.write_bytes(content)
    with contextlib.suppress(UserError):  # anything else fails the test
        load_problems(str(path))


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolve_llm_problems.lines.LONGEST_LINE", 1024 * 1024)
    (tmp_path / "a.jsonl").write_bytes(b'{"question": "' + b"x" * 2**20 + b'"}')
    with pytest.raises(UserError, match="line 1 is longer than 1 MiB"):
        load_problems(str(tmp_path / "a.jsonl"))


def test_a_long_csv_cell_is_read_and_the_csv_module_left_as_it_was(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    problem = _one(tmp_path / "a.csv", {"question": "x" * 300_000, "answer": "1"})
    assert len(problem.question) == 300_000  # type: ignore[attr-defined]
    assert csv.field_size_limit() == before


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_problems(str(tmp_path / "none.jsonl"))
    with pytest.raises(UserError, match="is a folder"):
        load_problems(str(tmp_path))
    with pytest.raises(UserError, match="needs a path"):
        load_problems("file")


def test_a_named_column_that_is_missing_lists_those_there_are(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", [{"question": "x", "gold": "y"}])
    with pytest.raises(UserError, match="no column 'golden'; it has 'question', 'gold'"):
        load_problems(f"{path}?answer=golden")


def test_rows_can_be_numbered_where_ids_repeat(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", [{"index": 0, "question": "x"}, {"index": 0, "question": "y"}])
    with pytest.raises(UserError, match="two rows have the id"):
        load_problems(str(path))
    assert [problem.id for problem in load_problems(f"{path}?id=row")] == ["a/0", "a/1"]


def test_only_as_many_rows_are_read_as_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "x"}\nnot json\n')
    assert len(load_problems(str(path), limit=1)) == 1
