"""The token estimate and the form of messages."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fake_server import MODEL, FakeServer
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm import Problem, Session, UserError
from evolve_llm.backends.messages import chat_messages
from evolve_llm.backends.openai.backend import openai
from evolve_llm.backends.openai.tokens import LocalTokenizer
from evolve_llm.backends.scripted import Scripted
from evolve_llm.backends.tokens import PER_MESSAGE, PER_PROMPT, estimate_prompt_tokens, estimate_tokens
from evolve_llm.nouns.request import Prompt
from evolve_llm.session.session import flatten
from evolve_llm.testing import Behaviour, run_directory

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


# ---- a tokenizer of one's own, for servers that have none


def _written(folder: Path) -> Path:
    tokenizers = pytest.importorskip("tokenizers")
    words = {word: place for place, word in enumerate(("<unk>", "why", "is", "it", "42", "é"))}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    path = folder / "tokenizer.json"
    inner.save(str(path))
    return path


def test_where_tokens_start_by_a_tokenizer_of_ones_own(tmp_path: Path) -> None:
    local = LocalTokenizer(_written(tmp_path))
    assert local.starts("why is é 42?") == [0, 4, 7, 9, 11]
    assert local.starts("") == []
    assert local.starts("\ud800 it") == [0, 2]
    assert len(local.fingerprint) == 16


def test_a_server_without_tokenize_is_helped_out(tmp_path: Path) -> None:
    with FakeServer() as server:
        plain = openai(MODEL, base_url=server.url, attempts=1)
        helped = openai(MODEL, base_url=server.url, attempts=1, tokenizer=str(_written(tmp_path)))

        async def story() -> tuple[object, object, object]:
            info = await helped.start()
            await plain.start()
            found = await plain.token_starts("why is it"), await helped.token_starts("why is it")
            await plain.close()
            await helped.close()
            return *found, info.details.get("tokenizer")

        without, with_it, fingerprint = asyncio.run(story())
    assert without is None
    assert with_it == [0, 4, 7]
    assert fingerprint


@pytest.mark.parametrize("content", [None, "", "{}", "[1"])
def test_what_is_no_tokenizer_is_refused_before_anything_is_asked(
    tmp_path: Path, content: str | None
) -> None:
    pytest.importorskip("tokenizers")
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"engine\.tokenizer=.* is not a tokenizer\.json"):
        openai(MODEL, base_url="http://localhost:1/v1", tokenizer=str(path))


def test_a_run_whose_tails_are_cut_by_characters_says_so() -> None:
    preset = {"carry": {"policy": "tail", "tokens": 8}}
    problems = [Problem("p", "What is 2 + 2?", "boxed", "exact", "4")]
    said = []
    for carry in (preset, {}):
        with run_directory() as out:
            session = Session(problems, "smoke", Scripted(Behaviour()), out=out, overrides=flatten(carry))

            async def whole(session: Session = session) -> list[str]:
                async with session:
                    async for _ in session.generations():
                        pass
                    return session.warnings

            said.append(asyncio.run(whole()))
    assert ["cut by characters" in " ".join(one) for one in said] == [True, False]
