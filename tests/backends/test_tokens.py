"""The token estimate and the form of messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.backends.messages import chat_messages
from evolve_llm.backends.tokens import PER_MESSAGE, PER_PROMPT, estimate_prompt_tokens, estimate_tokens
from evolve_llm.nouns.request import Prompt

texts = st.text(st.characters(), max_size=200)


@given(texts, texts)
def test_longer_texts_are_never_counted_shorter(start: str, more: str) -> None:
    assert 0 <= estimate_tokens(start) <= estimate_tokens(start + "\n" + more) <= 4 * len(start + more) + 1


@given(texts)
def test_a_prompt_costs_its_text_and_its_template(text: str) -> None:
    assert estimate_prompt_tokens(Prompt.user(text)) == PER_PROMPT + PER_MESSAGE + estimate_tokens(text)


def test_known_counts_are_not_underestimated() -> None:
    assert estimate_tokens("1234567890") >= 10
    assert estimate_tokens("0 1 2 3") >= 7
    assert estimate_tokens("the cat sat on the mat") >= 6
    assert estimate_tokens("\\boxed{\\frac{1}{2}}") >= 12


@given(texts)
def test_messages_survive_utf_8(text: str) -> None:
    (message,) = chat_messages(Prompt.user(text))
    assert len(message["content"]) == len(text)
    message["content"].encode()
