"""CSV as programs write it: other delimiters, byte order marks, a line ``sep=;``, empty columns and rows at the end."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from evolve_llm_problems.columns import Naming
from evolve_llm_problems.delimited import DELIMITERS, guessed_delimiter, named_delimiter
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme.problem_sets import load_problems


def read(tmp_path: Path, content: str | bytes, options: str = "", name: str = "a.csv") -> list[Problem]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_problems(f"{path}{options}")


def pairs(problems: list[Problem]) -> list[tuple[str, object]]:
    return [(problem.question, problem.reference) for problem in problems]


@pytest.mark.parametrize("delimiter", DELIMITERS)
@given(
    rows=st.lists(
        st.tuples(
            st.text(st.sampled_from('ab,;|\t"\n 0'), min_size=1, max_size=12).filter(lambda text: text.strip() != ""),
            st.text(st.sampled_from("12,;|\t5"), min_size=1, max_size=6).filter(lambda text: text.strip() != ""),
        ),
        min_size=1, max_size=4,
    ),
    ends=st.sampled_from(["\r\n", "\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
)  # fmt: skip
def test_what_a_spreadsheet_writes_is_read_back_whatever_it_puts_between(
    delimiter: str,
    rows: list[tuple[str, str]],
    ends: str,
    mark: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=ends)
    writer.writerows([("question", "answer", "note, or; remark"), *((*row, "") for row in rows)])
    path = tmp_path_factory.mktemp("sheet") / "a.csv"
    path.write_bytes((mark + out.getvalue()).encode())
    assert pairs(load_problems(str(path))) == [(question, answer.strip()) for question, answer in rows]


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("question,answer", ","),
        ("question;answer", ";"),
        ("question\tanswer", "\t"),
        ("question|answer", "|"),
        ("id;question;answer", ";"),
        ('"id";"question";"answer"', ";"),
        (" Question ; ANSWER ", ";"),
        ("question;answer, in words", ";"),  # more columns that are known, though as many columns
        ("question,answer;remark", ","),  # one that is known either way: then as many columns, so the comma
        ('"question";"answer, or; remark, if any"', ";"),
        ("question,a|b,c;d", ","),
        ("Frage;Antwort;Fach", ";"),  # none is known: the most columns
        ("question", ","),
        ("", ","),
        ('"question', ","),
    ],
)
def test_the_delimiter_is_told_by_the_header(header: str, delimiter: str) -> None:
    assert guessed_delimiter(header, Naming().known()) == delimiter


def test_a_column_that_the_user_names_is_known(tmp_path: Path) -> None:
    content = "Frage, falls kurz;Antwort, exakt;x\n1+1?;2;\n"
    header = content.partition("\n")[0]
    assert guessed_delimiter(header, {"frage, falls kurz"}) == ";"
    assert pairs(read(tmp_path, content, "?question=Frage, falls kurz&answer=Antwort, exakt")) == [
        ("1+1?", "2")
    ]


def test_decimal_commas_stay_as_they_are(tmp_path: Path) -> None:
    """In quotes between commas, bare between semicolons: what they mean the grader knows."""
    (quoted,) = read(tmp_path, 'question,answer\r\n"Half of 1, please?","0,5"\r\n')
    (bare,) = read(tmp_path, "\ufeffquestion;answer\r\nHalf of 1, please?;0,5\r\n")
    assert quoted == bare
    assert (bare.question, bare.reference) == ("Half of 1, please?", "0,5")
    assert (bare.format, bare.grader) == ("boxed", "math")


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"'])
def test_a_line_that_names_the_delimiter_is_obeyed_and_is_no_row(tmp_path: Path, first: str) -> None:
    """Spreadsheets write it for each other. The header alone would say comma."""
    assert pairs(read(tmp_path, f"{first}\r\nquestion,a;answer\r\nx, y;1\r\n", "?question=question,a")) == [
        ("x, y", "1")
    ]
    with pytest.raises(UserError, match="line 3 has 1 cells, but the header names 2"):
        read(tmp_path, f"{first}\nquestion;answer\nx\n")


def test_empty_columns_and_rows_at_the_end_are_left_out(tmp_path: Path) -> None:
    content = "question;answer;;\n1+1?;2;;\n;;;\n  ; ;;\n2+2?;4;;\n;;;\n;;;\n"
    problems = read(tmp_path, content)
    assert pairs(problems) == [("1+1?", "2"), ("2+2?", "4")]
    assert [problem.id for problem in problems] == ["a/0", "a/1"]


def test_an_index_without_a_name_before_the_columns(tmp_path: Path) -> None:
    """As pandas writes it."""
    assert pairs(read(tmp_path, ",question,answer\n0,1+1?,2\n1,2+2?,4\n")) == [("1+1?", "2"), ("2+2?", "4")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("question;answer\n1+1;2;3\n", "line 2 has 3 cells, but the header names 2.*delimiter=C"),
        ("question;answer;;\n1+1; 2;3;\n", "line 2 has 4 cells, but the header names 2"),
        ("question;answer\n1+1\n", "line 2 has 1 cells, but the header names 2"),
        ("question;question\n1;2\n", "two columns named 'question'"),
        ('question;answer\n"1+1;2\n', "line 2 is not valid CSV"),
        ("\n\n;;\n", "holds no problems"),
        ("question;answer\n".encode("utf-16"), "is UTF-16, not UTF-8.*iconv -f utf-16"),
        ("question;answer\nnaïve?;1\n".encode("cp1252"), "line 2 is not UTF-8.*iconv"),
    ],
)
def test_what_may_be_damaged_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=f"(?s){message}"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("name", "character"),
    [("tab", "\t"), (r"\t", "\t"), ("Semicolon", ";"), (";", ";"), ("bar", "|"), ("~", "~")],
)
def test_the_delimiter_can_be_named(tmp_path: Path, name: str, character: str) -> None:
    """It wins over the guess, over a line that names another one, and over the name of a .tsv file."""
    assert named_delimiter(name) == character
    content = f"sep=,\nquestion{character}answer\n1,1?{character}2\n"
    assert pairs(read(tmp_path, content, f"?delimiter={name}")) == [("1,1?", "2")]
    assert pairs(read(tmp_path, content, f"?delimiter={name}", "a.tsv")) == [("1,1?", "2")]


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("delimiter=", "a.csv", "'' is not one character"),
        ("delimiter=;;", "a.csv", "';;' is not one character; write for example delimiter=tab"),
        ('delimiter="', "a.csv", "is not one character"),
        ("delimiter=;", "a.jsonl", "the option delimiter is for .csv files"),
    ],
)
def test_a_delimiter_that_cannot_be_is_refused(tmp_path: Path, option: str, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, '{"question": "x"}\n', f"?{option}", name)
