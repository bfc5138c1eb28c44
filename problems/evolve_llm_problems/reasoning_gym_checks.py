"""Where Reasoning Gym's own scorers execute the answer or call a wrong one right: what is done instead.

``DECIDED`` tasks are graded here, exactly, and their scorers are never called. For ``REFUSED`` tasks an
answer outside the task's notation is incorrect before its scorer could see it. docs/grading.md says why
for each. Every function here is linear in the answer and imports nothing of Reasoning Gym.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from evolve_llm.grading import grammar, latex, numbers
from evolve_llm.grading.normalize import lined
from evolve_llm.nouns.verdict import Grade, Verdict

Entry = Mapping[str, Any]

_TOLERANCE = Fraction(1, 10_000)
_MAX_JSON = 20_000
_FLOAT = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,3})?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?")
_NUMBERS = re.compile(r"(?<![\w.])-?\$?\d+(?:,\d{3})*(?:\.\d+)?(?!\w)")


def right(rule: str) -> Verdict:
    """A verdict that is correct, with the full score."""
    return Verdict(Grade.CORRECT, rule, 1.0)


def wrong(rule: str, score: float = 0.0) -> Verdict:
    """Incorrect, with the partial credit Reasoning Gym gives."""
    return Verdict(Grade.INCORRECT, rule, score)


# --- decided here -------------------------------------------------------------------------------------


def _target(answer: str, entry: Entry, target: int) -> Verdict:
    try:
        value, used = grammar.arithmetic(answer)
    except grammar.OutsideGrammarError:
        return wrong("not-an-expression", 0.01)
    if sorted(used) != sorted(int(number) for number in entry["metadata"]["numbers"]):
        return wrong("wrong-numbers", 0.05)
    return right("exact-rational") if value == target else wrong("exact-rational", 0.05)


def countdown(answer: str, entry: Entry) -> Verdict:
    """All numbers, each once, exactly the target."""
    return _target(answer, entry, int(entry["metadata"]["target"]))


def puzzle24(answer: str, entry: Entry) -> Verdict:
    """The four given numbers, each once, exactly 24 (the package's scorer accepts any four numbers)."""
    return _target(answer, entry, 24)


def _literal(answer: str, partial: Callable[[Any], str], wanted: set[str], score: float) -> Verdict:
    try:
        written = partial(grammar.literal(answer))
    except (grammar.OutsideGrammarError, TypeError, ValueError):
        return wrong("not-a-literal")
    return wrong("exact-text", score if written in wanted else 0.0)


def _rows(value: Any) -> str:
    return "\n".join(" ".join(str(cell) for cell in row) for row in value)


def n_queens(answer: str, entry: Entry) -> Verdict:
    """One of the valid boards; the board as a Python list earns partial credit."""
    boards = {lined(board) for board in entry["metadata"]["valid_answers"]}
    return right("exact-text") if lined(answer) in boards else _literal(answer, _rows, boards, 0.5)


def binary_matrix(answer: str, entry: Entry) -> Verdict:
    """The matrix as written; as a Python list it earns partial credit."""
    return _literal(answer, _rows, {lined(entry["answer"])}, 0.1)


def spiral_matrix(answer: str, entry: Entry) -> Verdict:
    """The numbers as written; as a Python list they earn partial credit."""
    return _literal(answer, lambda value: " ".join(map(str, value)), {lined(entry["answer"])}, 0.1)


def string_insertion(answer: str, entry: Entry) -> Verdict:
    """The string as written; as a Python list of characters it earns partial credit."""
    return _literal(answer, lambda value: "".join(value), {entry["answer"]}, 0.1)


def coin_flip(answer: str, entry: Entry) -> Verdict:
    """The probability within 1e-4 and 1 % (the package's scorer gives "0" full marks for sharing a digit)."""
    try:
        value, wanted = numbers.evaluate(latex.tidy(answer), 1 << 10), numbers.evaluate(entry["answer"])
    except (numbers.NotANumberError, numbers.TooLargeError):
        return wrong("not-a-number")
    near = abs(value - wanted) <= min(_TOLERANCE, abs(wanted) / 100)
    return right("within-tolerance") if near else wrong("within-tolerance")


def game_of_life_halting(answer: str, entry: Entry) -> Verdict:
    """True or False (the package's scorer accepts every text, as every text is truthy)."""
    words = {"true": True, "false": False}
    given = words.get(answer.strip().strip(".").casefold())
    if given is None:
        return wrong("not-a-boolean")
    wanted = words[str(entry["answer"]).casefold()]
    return right("exact-text") if given is wanted else wrong("exact-text")


def _json(answer: str) -> Any:
    if len(answer) > _MAX_JSON or latex.too_deep(answer, 20):
        raise ValueError("too large")
    return json.loads(answer)


def game_of_life(answer: str, entry: Entry) -> Verdict:
    """The whole grid, and nothing beside it (the package's scorer ignores extra rows and columns)."""
    try:
        given = _json(answer)
    except ValueError:
        return wrong("not-json")
    wanted = json.loads(entry["answer"])
    if given == wanted:
        return right("exact-json")
    cells = [(i, j, cell) for i, row in enumerate(wanted) for j, cell in enumerate(row)]
    same = sum(_cell(given, i, j) == cell for i, j, cell in cells)
    return wrong("exact-json", min(0.99, same / max(1, len(cells))))


def _cell(grid: Any, i: int, j: int) -> Any:
    try:
        return grid[i][j]
    except (IndexError, KeyError, TypeError):
        return None


def number_sorting(answer: str, entry: Entry) -> Verdict:
    """The same numbers in the same order (the package's scorer lets each be off by one, and takes NaN)."""
    try:
        given = [_decimal(item) for item in _json(answer.replace("'", '"'))]
    except (ValueError, TypeError, InvalidOperation):
        return wrong("not-a-list")
    wanted = [Decimal(number) for number in grammar.literal(entry["answer"])]  # type: ignore[attr-defined]
    return right("exact-list") if given == wanted else wrong("exact-list")


def _decimal(item: Any) -> Decimal:
    if (
        isinstance(item, bool)
        or not isinstance(item, str | int | float)
        or not _FLOAT.fullmatch(str(item).strip())
    ):
        raise ValueError(f"not a number: {item!r}")
    return Decimal(str(item).strip())


def word_sorting(answer: str, entry: Entry) -> Verdict:
    """All words in order and no more (the package's scorer ignores words after the last)."""
    given = [word.strip() for word in answer.split(",")]
    wanted = list(entry["metadata"]["sorted_words"])
    if given == wanted:
        return right("exact-list")
    same = sum(one == other for one, other in zip(given, wanted, strict=False)) / max(1, len(wanted))
    return wrong("exact-list", min(0.99, max(same, 0.2 if sorted(given) == sorted(wanted) else 0.0)))


def figlet_font(answer: str, entry: Entry) -> Verdict:
    """The word, in any case (ten right letters of a longer word are not enough)."""
    given, wanted = answer.replace(" ", "").strip().lower(), str(entry["answer"]).strip().lower()
    same = sum(one == other for one, other in zip(given, wanted, strict=False))
    return right("exact-text") if given == wanted else wrong("exact-text", min(0.1 * same, 0.99))


def letter_jumble(answer: str, entry: Entry) -> Verdict:
    """All words and no more (the package's scorer ignores words after the last)."""
    given, wanted = answer.lower().split(), str(entry["answer"]).lower().split()
    if given == wanted:
        return right("exact-text")
    same = sum(one == other for one, other in zip(given, wanted, strict=False)) / max(1, len(wanted))
    return wrong("exact-text", min(0.99, same))


def gsm_symbolic(answer: str, entry: Entry) -> Verdict:
    """The one number in the answer (the package's scorer drops minus signs and stops at a comma)."""
    found = _NUMBERS.findall(answer[:_MAX_JSON])
    values = {number.replace(",", "").replace("$", "") for number in found}
    if len(values) != 1:
        return wrong("not-a-number")
    same = Decimal(values.pop()) == Decimal(str(entry["answer"]))
    return right("exact-rational") if same else wrong("exact-rational", 0.01)


DECIDED: Mapping[str, Callable[[str, Entry], Verdict]] = {
    function.__name__: function
    for function in (
        countdown,
        puzzle24,
        n_queens,
        binary_matrix,
        spiral_matrix,
        string_insertion,
        coin_flip,
        game_of_life_halting,
        game_of_life,
        number_sorting,
        word_sorting,
        figlet_font,
        letter_jumble,
        gsm_symbolic,
    )
}


# --- refused before the scorer ------------------------------------------------------------------------


def _algebraic(answer: str, symbols: set[str]) -> str | None:
    try:
        grammar.algebraic(answer, symbols)
    except grammar.OutsideGrammarError:
        return "not-an-expression"
    return None


def _integral(answer: str, entry: Entry) -> str | None:
    return _algebraic(answer, {str(entry["metadata"]["variable"]), "C"})


def _polynomial(answer: str, entry: Entry) -> str | None:
    return _algebraic(answer, set(entry["metadata"]["variables"]))


def _only(pattern: str, rule: str) -> Callable[[str, Entry], str | None]:
    """Refuses what the pattern does not match as a whole."""
    compiled = re.compile(pattern)
    return lambda answer, entry: None if compiled.fullmatch(answer.strip()) else rule  # noqa: ARG005


def _decimal_number(answer: str, entry: Entry) -> str | None:  # noqa: ARG001 - one signature for all
    text = answer.strip()
    text = text.replace(",", "") if _GROUPED.fullmatch(text) else text
    return None if _FLOAT.fullmatch(text) else "not-a-number"


def _roots(answer: str, entry: Entry) -> str | None:
    text = answer.strip()
    if not str(entry["answer"]).strip():
        return None if text in ("", '""', "''") else "not-empty"
    return None if all(_FLOAT.fullmatch(piece.strip()) for piece in text.split(",")) else "not-a-list"


_TIMES = {
    "date": _only(r"[+-]?\d{1,9}(?:\s+days?)?", "not-a-duration"),
    "time": _only(r"\d{1,9}:\d{2}(?::\d{2}(?:\.\d{3})?)?", "not-a-duration"),
    "datetime": _only(r"\d{1,9} days, \d{1,9}:\d{2}(?::\d{2})?", "not-a-duration"),
}


def _duration(answer: str, entry: Entry) -> str | None:
    kind = str(entry["metadata"]["task_type"])
    shape = "date" if kind == "date" else "time" if kind.startswith("time") else "datetime"
    return _TIMES[shape](answer, entry)


def _fraction(answer: str, entry: Entry) -> str | None:  # noqa: ARG001 - one signature for all
    text = answer.strip().strip("$").strip()
    if not text.lower().startswith("\\"):
        return None
    return None if re.fullmatch(r"\\d?frac\s*\{\s*\d+\s*\}\s*\{\s*\d+\s*\}", text) else "not-a-fraction"


REFUSED: Mapping[str, Callable[[str, Entry], str | None]] = {
    "simple_integration": _integral,
    "intermediate_integration": _integral,
    "polynomial_multiplication": _polynomial,
    "complex_arithmetic": _only(r"[0-9+\-.ijIJeE()\s]{1,200}", "not-a-number"),
    "polynomial_equations": _roots,
    "time_intervals": _duration,
    "fraction_simplification": _fraction,
    "chain_sum": _decimal_number,
    "products": _decimal_number,
    "number_format": _decimal_number,
    "decimal_arithmetic": _decimal_number,
    "decimal_chain_sum": _decimal_number,
    "power_function": _decimal_number,
    "quantum_lock": _only(r"[^a-zA-Z]*(?:[A-Ca-c][^a-zA-Z]*)*", "not-a-sequence"),
    "rush_hour": _only(r"(?:[^\d]|(?<!\d)\d{1,2}(?!\d))*", "not-a-move"),
    "rubiks_cube": _only(r"(?:[^\d]|(?<!\d)\d(?!\d))*", "not-a-move"),
    "sokoban": _only(r"[UDLR\s,]*", "not-a-move"),
}
