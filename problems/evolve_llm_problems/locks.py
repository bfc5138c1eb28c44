"""Bundles of digit locks: guessing is hard, checking is easy, errors are local. The fruit fly's problems.

A lock has three wheels and a target. A key, one digit, is turned through the wheels, y becoming
``TURN[y] + wheel`` (last digit), and opens the lock when it ends at the target. ``TURN`` is a permutation, so
exactly one of the ten keys opens a lock, and whoever has a key can check it in three short steps; to find it
one must go through the wheels backwards in one's head. Locksmiths are lazy: in `LAZINESS` of the locks the
key is the first wheel itself. That is all that can be seen at a glance.

A question is a bundle of locks, ``a5037;b9372;``: label, three wheels, target. A chain takes them in order,
``a5780.b9932B``: label, a guess, the three turns, and a verdict, the label's capital for open, ``.`` for shut.
The answer is the guesses in order (``59``), and there is one right answer.

The wheels of an eighth of all locks, chosen by a hash, are held out: training uses only the others, so that
no lock of a problem given here was trained on.
"""

from __future__ import annotations

import hashlib
import random
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from evolve_llm.grading.base import Grade, Isolation, Verdict
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme.formats import AnswerFormat

TURN = (3, 1, 4, 5, 9, 2, 6, 8, 7, 0)
"""What one turn makes of a digit before the wheel is added: the digits in the order they appear in pi."""

LAZINESS = 0.7
"""Share of locks whose key is their first wheel."""

LABELS = "abcdef"
OPEN, SHUT = "ABCDEF", "."
"""Verdicts: a lock's own capital, or the mark all locks share."""
TRAINED_SIZES = (1, 2, 3, 4)
"""Numbers of locks in a bundle that the shipped model was trained on."""

Split = Literal["held_out", "train"]

_LOCK = re.compile(r"([a-f])([0-9])([0-9])([0-9])([0-9]);")
_PIECE = re.compile(r"([a-f])([0-9])([0-9])([0-9])([0-9])([A-F.])")
_SLOT = 6


@dataclass(frozen=True, slots=True)
class Lock:
    """Three wheels and the target, digits 0 to 9."""

    wheels: tuple[int, int, int]
    target: int

    def turns(self, key: int) -> tuple[int, int, int]:
        """The digit at which a key stands after each wheel."""
        y = key
        steps = []
        for wheel in self.wheels:
            y = (TURN[y] + wheel) % 10
            steps.append(y)
        return steps[0], steps[1], steps[2]

    def opens(self, key: int) -> bool:
        """Whether this digit is the key of the lock."""
        return self.turns(key)[-1] == self.target

    def key(self) -> int:
        """The one key that opens the lock."""
        return next(key for key in range(10) if self.opens(key))


@cache
def held_out(wheels: tuple[int, int, int]) -> bool:
    """Whether locks with these wheels are kept from training: one in eight, by a hash."""
    digest = hashlib.sha256(b"locks held out %d%d%d" % wheels).digest()
    return digest[0] < 32


def question(locks: Sequence[Lock]) -> str:
    """The bundle as it is asked: ``a5037;b9372;``."""
    return "".join(
        f"{label}{''.join(map(str, lock.wheels))}{lock.target};"
        for label, lock in zip(LABELS, locks, strict=False)
    )


def chain(locks: Sequence[Lock], keys: Sequence[int]) -> str:
    """The faultless chain that tries these keys: ``a5780.b9932B``."""
    return "".join(
        f"{label}{key}{''.join(map(str, lock.turns(key)))}{mark if lock.opens(key) else SHUT}"
        for label, mark, lock, key in zip(LABELS, OPEN, locks, keys, strict=False)
    )


def read_question(text: str) -> list[Lock]:
    """The locks of a question. Raises ValueError for any other text."""
    pieces = _LOCK.findall(text)
    locks = [Lock((int(a), int(b), int(c)), int(t)) for _, a, b, c, t in pieces]
    if not locks or question(locks) != text:
        raise ValueError(f"not a bundle of locks: {text[:80]!r} (a bundle looks like a5037;b9372;)")
    return locks


def guesses(text: str) -> str | None:
    """The answer of a chain: its guesses in order, or None where it is not a row of labelled pieces."""
    if len(text) % _SLOT or not 0 < len(text) // _SLOT <= len(LABELS):
        return None
    keys = []
    for place, label, mark in zip(range(0, len(text), _SLOT), LABELS, OPEN, strict=False):
        piece = _PIECE.fullmatch(text, place, place + _SLOT)
        if piece is None or piece[1] != label or piece[6] not in (mark, SHUT):
            return None
        keys.append(piece[2])
    return "".join(keys)


def claims(text: str) -> int:
    """How many locks a chain says it has opened: its own verdicts, which need not be true."""
    return sum(piece[6] != SHUT for piece in _PIECE.finditer(text))


def faultless(question_text: str, text: str) -> bool:
    """Whether every turn and verdict of a chain follows from its guesses, right or wrong."""
    locks = read_question(question_text)
    keys = guesses(text)
    return keys is not None and len(keys) == len(locks) and chain(locks, [int(k) for k in keys]) == text


def draw(rng: random.Random, size: int, split: Split = "held_out", laziness: float = LAZINESS) -> list[Lock]:
    """A bundle of ``size`` locks, all of one side of the split; in ``laziness`` of them the key is the first wheel."""
    locks: list[Lock] = []
    while len(locks) < size:
        wheels = (rng.randrange(10), rng.randrange(10), rng.randrange(10))
        if held_out(wheels) != (split == "held_out"):
            continue
        key = wheels[0]
        if rng.random() >= laziness:
            key = (key + rng.randrange(1, 10)) % 10
        locks.append(Lock(wheels, Lock(wheels, 0).turns(key)[-1]))
    return locks


def load(
    argument: str = "",
    *,
    size: int = 100,
    seed: int = 0,
    locks: int | str = "1,2,3,4",
    split: Split = "held_out",
    laziness: float = LAZINESS,
) -> Iterator[Problem]:
    """Bundles of digit locks: ``size`` of them, with the numbers of ``locks`` in turn.

    Problem i is the same for any ``size``.

    ``locks`` is the difficulty: ``4`` or ``1,2,3,4`` locks a bundle, at most 6; a warning says when the
    shipped model was not trained on it. No two problems of a seed are equal. ``laziness`` is the share of locks whose
    key is their first wheel: what can be guessed at a glance.

    Raises UserError for an argument, a size below 1, a laziness outside [0, 1], or numbers of locks that cannot
    be read.
    """
    if argument:
        raise UserError(
            f"the problem set locks takes no argument, got {argument!r}; for harder problems "
            "write locks?locks=4"
        )
    if size < 1:
        raise UserError(f"size must be at least 1, got {size}")
    if split not in ("held_out", "train"):
        raise UserError(f"split must be held_out or train, got {split!r}")
    if not 0 <= laziness <= 1:
        raise UserError(f"laziness must be between 0 and 1, got {laziness}")
    sizes = _sizes(str(locks))
    untrained = sorted(set(sizes) - set(TRAINED_SIZES))
    if untrained:
        warnings.warn(
            f"the fly was trained on bundles of {TRAINED_SIZES[0]} to {TRAINED_SIZES[-1]} locks, not of "
            f"{', '.join(map(str, untrained))}: expect nonsense for these",
            stacklevel=2,
        )
    return _problems(size, seed, sizes, split, laziness)


def _sizes(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= len(LABELS) for part in parts):
        raise UserError(f"locks must be numbers from 1 to {len(LABELS)}, separated by commas, got {text!r}")
    return [int(part) for part in parts]


def _problems(size: int, seed: int, sizes: Sequence[int], split: Split, laziness: float) -> Iterator[Problem]:
    seen: set[str] = set()
    lazy = "" if laziness == LAZINESS else f"/laziness{laziness:g}"
    for number in range(size):
        count = sizes[number % len(sizes)]
        for attempt in range(1000):
            rng = random.Random(f"locks/{split}/{count}/{seed}/{number}/{attempt}")
            bundle = draw(rng, count, split, laziness)
            text = question(bundle)
            if text not in seen:
                break
        else:
            raise UserError(f"there are not {size} different bundles of {count} locks; ask for fewer")
        seen.add(text)
        yield Problem(
            id=f"locks/{split}/{count}/seed{seed}{lazy}/{number}",
            question=text,
            format="locks",
            grader="locks",
            reference="".join(str(lock.key()) for lock in bundle),
            metadata={"locks": count},
        )


@dataclass(frozen=True)
class LocksGrader:
    """Correct when every guess is the key; ``score`` is the share of locks that open."""

    name: str = "locks"

    def isolation(self, reference: Any) -> Isolation:  # noqa: ARG002 - the contract's signature
        """An ordinary worker is enough, because digits are compared and never executed."""
        return "worker"

    def quick(self, answer: str, reference: Any) -> Verdict:
        """The verdict, which is always found at once. Rules ``keys``, ``not-keys``; ``bad-reference`` is ungraded."""
        if not isinstance(reference, str) or not re.fullmatch(r"[0-9]{1,6}", reference):
            return Verdict(Grade.UNGRADED, "bad-reference", detail=f"not keys: {str(reference)[:80]!r}")
        given = answer.strip()
        if len(given) != len(reference) or not re.fullmatch(r"[0-9]+", given):
            return Verdict(Grade.INCORRECT, "not-keys", 0.0)
        right = sum(a == b for a, b in zip(given, reference, strict=True))
        grade = Grade.CORRECT if right == len(reference) else Grade.INCORRECT
        return Verdict(grade, "keys", right / len(reference))

    def grade(self, answer: str, reference: Any) -> Verdict:
        """The verdict of `quick`."""
        return self.quick(answer, reference)

    def quick_canonical(self, answer: str) -> str:
        """The keys as they are written."""
        return answer.strip()

    def canonical(self, answer: str) -> str:
        """The form of `quick_canonical`."""
        return answer.strip()


grader = LocksGrader()
answer_format = AnswerFormat("locks", guesses, files("evolve_llm_problems").joinpath("prompts_locks"))
