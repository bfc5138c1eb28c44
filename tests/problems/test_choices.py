"""Multiple choice: the sets from hub and file, the order of options, and how an option is read and graded."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from evolve_llm_problems.choices.listing import Choice, drawn_order, shuffled, taken_apart
from hypothesis import given
from hypothesis import strategies as st
from option_forms import NOT_STATED, STATED, count, filled

from evolve_llm.grading.text import option
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.verdict import Grade
from evolve_llm.scheme.formats import last_option
from evolve_llm.scheme.problem_sets import load_problems

Row = dict[str, Any]
SUPERGPQA: Row = {
    "uuid": "u1", "question": "Which is a metal?", "options": ["tin", "tar", "tea"], "answer": "tar",
    "answer_letter": "B", "discipline": "Science", "field": "Chemistry", "subfield": "Metals", "difficulty": "easy",
}  # fmt: skip
RL_ROW: Row = {
    "data_source": "m-a-p/SuperGPQA",
    "prompt": [
        {
            "role": "user",
            "content": "Which is a metal?\n\nOption A : tin\n\nOption B : tar\n\nOption C : tea\n\nThink step by step "
            "and output the final correct option letter within \\boxed{}; for example \\boxed{A}.",
        }
    ],
    "reward_model": {"ground_truth": "B", "style": "rule"},
    "extra_info": {
        "uuid": "u1",
        "discipline": "Science",
        "field": "Chemistry",
        "subfield": "Metals",
        "difficulty": "easy",
    },
}
GPQA: Row = {
    "Record ID": "r1", "Question": "Which is a metal?", "Correct Answer": "tin", "Incorrect Answer 1": "tar",
    "Incorrect Answer 2": "tea", "Incorrect Answer 3": "tow", "High-level domain": "Chemistry", "Subdomain": "Metals",
}  # fmt: skip
MMLU: Row = {
    "question_id": 7, "question": "Which is a metal?", "options": ["tin", "tar", "N/A"], "answer": "A",
    "answer_index": 0, "category": "chemistry", "src": "x",
}  # fmt: skip


def write(path: Path, *rows: Row) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def hub(patch: pytest.MonkeyPatch, expected: tuple[Any, ...], answer: Any) -> None:
    module = ModuleType("datasets")

    def load_dataset(*which: str, split: str) -> Any:
        assert (*which, split) == expected
        if isinstance(answer, Exception):
            raise answer
        return answer

    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "datasets", module)


def test_hub_file_and_rl_layout_give_the_same_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub(monkeypatch, ("m-a-p/SuperGPQA", "train"), [SUPERGPQA])
    from_hub = load_problems("supergpqa?shuffle=4")
    for row in (SUPERGPQA, RL_ROW):
        assert load_problems(f"supergpqa:{write(tmp_path / 'one.jsonl', row)}?shuffle=4") == from_hub
    (plain,) = load_problems("supergpqa")
    assert plain == Problem(
        "supergpqa/u1",
        "Which is a metal?\n\nA. tin\nB. tar\nC. tea",
        "option",
        "option",
        {"letter": "B", "options": ["tin", "tar", "tea"]},
        {"discipline": "Science", "field": "Chemistry", "subfield": "Metals", "difficulty": "easy"},
    )


def test_mmlu_pro_drops_options_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, ("TIGER-Lab/MMLU-Pro", "test"), [MMLU])
    (one,) = load_problems("mmlu_pro")
    assert (one.id, one.question) == ("mmlu_pro/7", "Which is a metal?\n\nA. tin\nB. tar")
    assert one.metadata["discipline"] == "chemistry"


def test_gpqa_is_always_shuffled_and_nothing_an_operator_sees_tells_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file has the right answer first."""
    hub(
        monkeypatch,
        ("Idavidrein/gpqa", "gpqa_diamond", "train"),
        [{**GPQA, "Record ID": f"r{n}"} for n in range(200)],
    )
    found = load_problems("gpqa")
    letters = Counter(one.reference["letter"] for one in found)
    assert set(letters) == set("ABCD")
    assert min(letters.values()) > 25
    assert len({json.dumps(dict(one.metadata)) for one in found}) == 1
    assert found[0].metadata["shuffle"] == 0
    for one in found:
        place = "ABCD".index(one.reference["letter"])
        assert one.reference["options"][place] == "tin"
    assert [one.reference for one in load_problems("gpqa?shuffle=1")] != [one.reference for one in found]


def test_without_the_hub_the_message_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("supergpqa", "mmlu_pro", "gpqa"):
        module = ModuleType("datasets")
        module.load_dataset = lambda *_, split: (_ for _ in ()).throw(ConnectionError(f"no route to {split}"))  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "datasets", module)
        with pytest.raises(UserError, match=f"(?s)no route.*{name}:FILE"):
            load_problems(name)


BAD: dict[str, tuple[Row, str]] = {
    "other columns": ({"question": "x", "answer": "y"}, "no list of texts in a column 'options'"),
    "no question": ({**SUPERGPQA, "question": " "}, "no text in a column 'question'"),
    "more options than letters": ({**SUPERGPQA, "options": ["x"] * 27}, "27 options; letters reach to 26"),
    "one option": ({**SUPERGPQA, "options": ["x"], "answer_letter": "A"}, r"1 option\(s\)"),
    "a letter too far": ({**SUPERGPQA, "answer_letter": "D"}, "not the letter of one of 3 options"),
    "two answers": ({**SUPERGPQA, "answer_letter": "A"}, "yet has another option's text"),
    "no answer": (
        {**SUPERGPQA, "answer_letter": None, "answer": "tow"},
        "does not say which option is right",
    ),
    "no list in the text": (
        {**RL_ROW, "prompt": [{"role": "user", "content": "Which is a metal?"}]},
        "lists no options",
    ),
}


@pytest.mark.parametrize(("row", "message"), BAD.values(), ids=BAD)
def test_what_is_no_choice_is_refused(row: Row, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"line 1.*{message}"):
        load_problems(f"supergpqa:{write(tmp_path / 'bad.jsonl', row)}")


texts = st.text(st.characters(codec="ascii", categories=["L"]), min_size=3, max_size=9)


@given(texts, st.lists(texts, min_size=2, max_size=26), st.integers(0, 2**40), st.data())
def test_shuffling_keeps_the_right_one_and_a_list_is_taken_apart_again(
    stem: str, options: list[str], seed: int, data: st.DataObject
) -> None:
    right = data.draw(st.integers(0, len(options) - 1))
    before = Choice(stem, tuple(options), right)
    order = drawn_order(len(options), seed, stem)
    after = shuffled(before, order)
    assert sorted(order) == list(range(len(options)))
    assert after.right is not None
    assert after.options[after.right] == options[right]
    assert order == drawn_order(len(options), seed, stem)
    assert taken_apart(after.written()) == (stem, after.options)


# ---------------------------------------------------------------- reading

NAMES = [
    "the speed of light",
    "3400 cal",
    "a good deal",
    "depreciation",
    "In vitro",
    "x = 5",
    "A cat",
    "both A and B",
]
CASES = [
    Problem(f"p{n}", "?", "option", "option", {"letter": "ABCDEFGH"[n], "options": NAMES}) for n in range(8)
]


def test_there_are_forms_enough() -> None:
    assert len({*STATED}) >= 60
    assert len({*NOT_STATED}) >= 20


def test_no_form_is_misread_but_where_a_text_is_itself_a_choice_of_letters() -> None:
    """An option whose own text is "both A and B" may be missed in the forms that quote it, and never mistaken."""
    found, last = count(CASES[:-1]), count(CASES[-1:])
    assert (found.stated, found.not_stated) == (7 * len(STATED), 7 * len(NOT_STATED))
    assert found.missed + found.as_another + found.invented == {}
    assert last.as_another + last.invented == {}
    assert all("{T}" in form for form in last.missed)


@pytest.mark.parametrize("form", STATED)
def test_a_stated_option_is_read(form: str) -> None:
    for right in range(4):
        answer = last_option(filled(form, NAMES, right, (right + 2) % 6))
        assert answer is not None
        assert option.quick(answer, CASES[right].reference).correct


@pytest.mark.parametrize("form", NOT_STATED)
def test_what_states_no_option_is_no_answer(form: str) -> None:
    for right in range(4):
        answer = last_option(filled(form, NAMES, right, (right + 2) % 6))
        assert answer is None or option.quick(answer, CASES[right].reference).rule == "not-an-option"


@pytest.mark.parametrize(
    "piece",
    ["answer is ", "The answer is A.\n", "**", "Option A is correct. ", "so, ", "answer:\nA. x\n", "(", "\\boxed{",
     "if A ", "is the ", "correct ", "choose\n", "\\text{", "A) "],
)  # fmt: skip
def test_hostile_text_costs_its_length(piece: str) -> None:
    text = piece * (300_000 // len(piece))
    begun = time.process_time()
    last_option(text)
    last_option(f"<answer>{text}")
    assert time.process_time() - begun < 5


# ---------------------------------------------------------------- grading


@pytest.mark.parametrize(
    ("answer", "grade", "rule"),
    [("B", "correct", "option"), ("3400  CAL.", "correct", "option-text"), ("depreciation", "incorrect", "option-text"),
     ("A", "incorrect", "option"), ("I", "incorrect", "not-an-option"), ("speed", "incorrect", "not-an-option")],
)  # fmt: skip
def test_a_letter_or_the_options_own_text(answer: str, grade: str, rule: str) -> None:
    verdict = option.quick(answer, {"letter": "B", "options": NAMES})
    assert (verdict.grade.value, verdict.rule) == (grade, rule)


@pytest.mark.parametrize(
    "reference",
    [
        {},
        {"letter": "B"},
        {"letter": "C", "options": ["x", "y"]},
        {"letter": 2, "options": ["x", "y"]},
        "",
        7,
    ],
)
def test_a_reference_that_names_no_option_leaves_everything_ungraded(reference: Any) -> None:
    assert option.quick("B", reference).grade is Grade.UNGRADED


def test_a_text_that_two_options_share_settles_nothing() -> None:
    assert option.quick("x", {"letter": "A", "options": ["x", "x"]}).rule == "not-an-option"
