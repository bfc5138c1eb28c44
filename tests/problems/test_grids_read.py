"""Grids are read from every form a model writes them in, and from nothing else."""

from __future__ import annotations

import json
import time

import pytest
from evolve_llm_problems.grids.reading import answer_format, every_grid, last_grid, written
from hypothesis import given
from hypothesis import strategies as st

ROWS = ((1, 2, 0), (3, 4, 9))
PLAIN = "1 2 0\n3 4 9"

FORMS = {
    "blanks": PLAIN,
    "digits": "120\n349",
    "commas": "1,2,0\n3,4,9",
    "tabs": "1\t2\t0\n3\t4\t9",
    "json": "[[1, 2, 0], [3, 4, 9]]",
    "json over lines": "[\n  [1, 2, 0],\n  [3, 4, 9]\n]",
    "json deep": json.dumps({"rule": "x", "output": [[1, 2, 0], [3, 4, 9]]}),
    "json over many lines": json.dumps([[1, 2, 0], [3, 4, 9]], indent=2),
    "strings": '["120", "349"]',
    "strings with blanks": "['1 2 0', '3 4 9']",
    "tuples": "((1, 2, 0), (3, 4, 9))",
    "numpy": "array([[1, 2, 0],\n       [3, 4, 9]])",
    "numpy printed": "[[1 2 0]\n [3 4 9]]",
    "lists without a list": "[1, 2, 0]\n[3, 4, 9]",
    "bars": "1|2|0\n3|4|9",
    "a table": "| 1 | 2 | 0 |\n|---|---|---|\n| 3 | 4 | 9 |",
    "a fence": "```\n1 2 0\n3 4 9\n```",
    "a named fence": "```json\n[[1,2,0],[3,4,9]]\n```",
    "tags": "<answer>\n1 2 0\n3 4 9\n</answer>",
    "a tag that never closes": "<answer>\n1 2 0\n3 4 9",
    "a box": r"\boxed{[[1,2,0],[3,4,9]]}",
    "a matrix": r"\begin{bmatrix} 1 & 2 & 0 \\ 3 & 4 & 9 \end{bmatrix}",
    "an array in a box": r"$$\boxed{\begin{array}{ccc}1&2&0\\3&4&9\end{array}}$$",
    "rows with names": "Row 1: 1 2 0\nRow 2: 3 4 9",
    "a quotation": "> 1 2 0\n> 3 4 9",
    "indented": "    1 2 0\n    3 4 9",
    "blank lines between": "1 2 0\n\n3 4 9",
    "windows line ends": "1 2 0\r\n3 4 9\r\n",
    "code": "`1 2 0`\n`3 4 9`",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    "around", ["{}", "The input was\n7 7\n7 7\n\nso the output is:\n\n{}\n\nThat is all.\n5\n"]
)
def test_a_grid_is_read_in_every_form(form: str, around: str) -> None:
    assert last_grid(around.format(form) if around != "{}" else form) == PLAIN


@pytest.mark.parametrize(
    "text",
    ["", "I do not know.", "There are 3 red cells, 1 blue.", "1. Look\n2. Think\n3. Say", "[[10, 11], [12, 13]]",
     "12 13\n14 15", "[[1, 2], [3, x]]", "x=1\ny=2", "[[]]", "<answer>none</answer>"],
)  # fmt: skip
def test_what_is_no_grid_is_none(text: str) -> None:
    assert last_grid(text) is None


def test_tags_win_over_what_follows_and_a_box_over_what_went_before() -> None:
    assert last_grid("<answer>\n1 2 0\n3 4 9\n</answer>\nnot\n5 5\n5 5") == PLAIN
    assert last_grid("7 7\n7 7\n\\boxed{[[1,2,0],[3,4,9]]}\nchecked against\n8 8\n8 8") == PLAIN
    assert last_grid("1 2 0\n3 4 9\n<answer>as above</answer>") == PLAIN


def test_a_ragged_grid_is_the_answer_and_no_earlier_one_stands_in() -> None:
    assert last_grid("1 2 0\n3 4 9\n\nno, rather\n1 2\n3 4 9") == "1 2\n3 4 9"


def test_one_row_is_a_grid_only_where_there_is_no_larger_one() -> None:
    assert last_grid("the answer:\n5 5 0") == "5 5 0"
    assert last_grid("1 2 0\n3 4 9\n\nscore:\n7") == PLAIN
    assert last_grid("[[7]]") == "7"


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=2, max_size=6))
def test_what_is_written_is_read_back(rows: list[list[int]]) -> None:
    for form in (written(rows), json.dumps(rows), json.dumps(rows, indent=1)):
        (found,) = every_grid(f"Output:\n{form}\n")
        assert [list(row) for row in found.rows] == rows
        assert last_grid(f"so\n{form}\nthat is it") == written(rows)


@given(st.text(alphabet="[](){}<>|\\&-'\" \n\t0123456789x", max_size=400))
def test_places_are_in_order_and_hold_what_they_say(text: str) -> None:
    found = every_grid(text)
    assert [one.start for one in found] == sorted(one.start for one in found)
    for one in found:
        assert 0 <= one.start < one.end <= len(text)
        assert sum(map(len, one.rows)) <= sum(letter.isdigit() for letter in text[one.start : one.end])
    assert answer_format.extract(text) is None or found or "answer>" in text or "boxed" in text


@pytest.mark.parametrize(
    "piece",
    ["[[", "[[1],", "1 ", "1\n", "|-", "[1 ", '["', "\\\\", "1 2\n\n", "> ", "<answer>", "\\boxed{", "[[1]] ",
     '["1"]\n', "([1])", "1 2\n3 4\n\n", "row 1:", "\\begin{"],
)  # fmt: skip
def test_hostile_text_costs_its_length(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    begun = time.process_time()
    last_grid(text)
    assert time.process_time() - begun < 5
