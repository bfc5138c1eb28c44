"""Two answers brought to one form before they are compared: where one side's spelling depends on the other's."""

from __future__ import annotations

from collections.abc import Iterable

from evolve_llm.grading import latex, readings


def same_name(one: str, other: str) -> bool:
    """``x_1`` and ``x`` name one thing, ``x_1`` and ``x_2`` do not."""
    base = readings.base_of(one)
    return one == other or (base == readings.base_of(other) and base in (one, other))


def as_intervals(answer: str, given: str, gold: str, wanted: str) -> tuple[str, str]:
    """An inequality as its interval, where the other side is an interval, or says it of the same variable."""
    mine, theirs = readings.interval(answer), readings.interval(gold)
    if mine is None and theirs is None:
        return given, wanted
    if mine is not None and theirs is not None:
        return (mine[1], theirs[1]) if mine[0] == theirs[0] else (given, wanted)
    if mine is not None:
        return (mine[1], wanted) if latex.split(wanted).kind == "tuple" else (given, wanted)
    assert theirs is not None
    return (given, theirs[1]) if latex.split(given).kind == "tuple" else (given, wanted)


def with_points(given: str, wanted: str) -> tuple[str, str]:
    """Decimal commas as points: where no other reading is possible, or where the other side has a point."""
    mine = readings.decimal_comma(given, only=True) or given
    theirs = readings.decimal_comma(wanted, only=True) or wanted
    if "." in theirs and (found := readings.decimal_comma(mine, only=False)) is not None:
        return found, theirs
    if "." in mine and (found := readings.decimal_comma(theirs, only=False)) is not None:
        return mine, found
    return mine, theirs


def by_name(parts: latex.Parts, model: latex.Parts) -> tuple[latex.Parts, latex.Parts]:
    """Lists such as ``x = 1, y = 2`` in one order: by name where both have names, else as written, as a tuple."""
    mine, theirs = names(parts), names(model)
    if mine is None and theirs is None:
        return parts, model
    if mine is not None and theirs is not None:
        if sorted(mine) == sorted(theirs) and len(set(mine)) == len(mine):
            parts = ordered(parts, [mine.index(name) for name in theirs])
        return parts, model
    if mine is not None:
        return ordered(parts, range(len(mine))), model
    return parts, ordered(model, range(len(theirs or ())))


def names(parts: latex.Parts) -> list[str] | None:
    """The names of a list whose elements name different things; None for any other answer."""
    if parts.kind != "list":
        return None
    found = [readings.split_names(one)[0] for one in parts.elements]
    return found if all(found) and len({readings.base_of(one) for one in found}) > 1 else None


def ordered(parts: latex.Parts, places: Iterable[int]) -> latex.Parts:
    return latex.Parts("tuple", "()", tuple(parts.elements[place] for place in places))
