"""Further inputs for a program, made from the public ones: they part programs that the few public inputs do not.

An input keeps its shape: as many lines, and as many words on each. A number that counts something in it (lines, words
on a line, letters of a word, items of a list) stays as it is. Nobody knows the right outputs, and none is needed: the
inputs only say which programs do the same. Pure; drawn from a seed.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

MOST = 64
LONGEST = 10_000
"""Characters. A longer public input is not changed."""
_TRIES = 20
_NUMBER = re.compile(r"-?[0-9]{1,18}")


def generated(inputs: Sequence[str], count: int, seed: str, *, functional: bool = False) -> list[str]:
    """Up to ``count`` inputs, each a public one with one to three changes; none twice, and none that is public.

    A change draws one number anew from the range of the numbers beside it, or one letter of a word from that word, or
    puts the words of a line or the items of a list in another order. ``functional``: one JSON value a line, as a call's
    arguments. Fewer come back where the inputs give no more, the same for the same ``seed`` on every machine.
    """
    draw = random.Random(seed)
    sources = [one for one in inputs if len(one) <= LONGEST]
    known, found = set(inputs), list[str]()
    for _ in range(_TRIES * count if sources else 0):
        if len(found) == count:
            break
        one = draw.choice(sources)
        for _ in range(draw.randint(1, 3)):
            one = _call(draw, one) if functional else _text(draw, one)
        if one not in known:
            known.add(one)
            found.append(one)
    return found


def _text(draw: random.Random, text: str) -> str:
    """The text with one line changed. White space stays where it is."""
    lines = text.split("\n")
    words = [line.split() for line in lines]
    places = [number for number, one in enumerate(words) if one]
    if not places:
        return text
    place = draw.choice(places)
    counts = {sum(number > place for number in places)} | {len(words[one]) for one in places if one != place}
    counts |= {len(word) for one in words for word in one if not _NUMBER.fullmatch(word)}
    changed = iter(_words(draw, words[place], counts))
    lines[place] = re.sub(r"\S+", lambda _: next(changed), lines[place])
    return "\n".join(lines)


def _words(draw: random.Random, words: list[str], counts: set[int]) -> list[str]:
    numbers = [int(word) for word in words if _NUMBER.fullmatch(word)]
    several = len(words) > 2 and len(numbers) in (0, len(words))
    if several and draw.random() < 0.3:
        return draw.sample(words, len(words))
    place = draw.randrange(len(words))
    if not _NUMBER.fullmatch(words[place]):
        return [*words[:place], _word(draw, words[place]), *words[place + 1 :]]
    if len(words) < 3 and int(words[place]) in counts:
        return words
    return [*words[:place], str(_number(draw, numbers)), *words[place + 1 :]]


def _call(draw: random.Random, text: str) -> str:
    """The arguments with one value in them changed; as they are where they are nested too deeply.

    Raises ValueError where they are not one JSON value a line.
    """
    try:
        return _changed(draw, [json.loads(line) for line in text.split("\n")])
    except RecursionError:
        return text


def _changed(draw: random.Random, arguments: list[Any]) -> str:
    counts = {len(one) for one in _walk(arguments) if isinstance(one, list | str)}
    holders = [one for one in _walk(arguments) if isinstance(one, list) and one]
    if holders:
        _item(draw, draw.choice(holders), counts, ordered=arguments)
    return "\n".join(json.dumps(one) for one in arguments)


def _item(draw: random.Random, items: list[Any], counts: set[int], ordered: list[Any]) -> None:
    """Change one item of a list, or the order of all, in place. The arguments themselves stay in order."""
    if items is not ordered and draw.random() < 0.3:
        draw.shuffle(items)
        return
    place = draw.randrange(len(items))
    value = items[place]
    if isinstance(value, bool):
        items[place] = not value
    elif isinstance(value, int) and not (items is ordered and value in counts):
        beside = [value] if items is ordered else [one for one in items if type(one) is int]
        items[place] = _number(draw, beside)
    elif isinstance(value, str):
        items[place] = _word(draw, value)


def _number(draw: random.Random, beside: Sequence[int]) -> int:
    """A number from the range of these and one step beyond, on the same side of zero."""
    low, high = min(beside), max(beside)
    floor = 1 if low > 0 else 0 if low == 0 else low - 1
    return draw.randint(max(floor, low - 1), high + 1)


def _word(draw: random.Random, word: str) -> str:
    """One letter replaced by another of the word."""
    if len(word) < 2:
        return word
    place = draw.randrange(len(word))
    return word[:place] + draw.choice(word) + word[place + 1 :]


def _walk(value: Any) -> Iterator[Any]:
    yield value
    inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    for one in inner:
        yield from _walk(one)
