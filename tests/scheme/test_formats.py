"""Taking the answer out of a chain, in one pass however hostile the chain."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm.scheme import registry
from evolve_llm.scheme.formats import last_boxed
from evolve_llm.testing import HOSTILE

PIECES = st.sampled_from(
    ("\\boxed{", "\\boxed {", "\\fbox{", "{", "}", "\\{", "\\}", "\\\\", "\\", "1", " ", "x")
)


def slow_last_boxed(text: str) -> str | None:
    """The definition: from the last box backwards, the first whose braces balance."""
    for match in reversed(list(re.finditer(r"\\(?:f?boxed|fbox)\s*(?=\{)", text))):
        depth, place = 0, match.end()
        while place < len(text):
            if text[place] == "\\":
                place += 2
                continue
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if depth == 0:
                return text[match.end() + 1 : place].strip() or None
            place += 1
    return None


@settings(max_examples=500)
@given(pieces=st.lists(PIECES, max_size=14))
def test_the_last_balanced_box_in_one_pass(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert last_boxed(text) == slow_last_boxed(text)


@pytest.mark.parametrize("form", ["boxed", "tags", "option", "code", "text"])
@pytest.mark.parametrize("name", HOSTILE)
def test_no_format_takes_more_than_a_moment(form: str, name: str) -> None:
    text = (
        HOSTILE[name] * (1 + 1_000_000 // (len(HOSTILE[name]) + 1))
        if name.endswith("bomb")
        else HOSTILE[name]
    )
    started = time.perf_counter()
    registry.load("answer format", form).extract(text)
    assert time.perf_counter() - started < 5
