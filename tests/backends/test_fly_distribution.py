"""The fly is one model in three engines: llama.cpp, transformers and vLLM give the same next-token distribution.

Our backends are asked for one token after each prefix of real chains, with its likeliest alternatives;
transformers, in float32 and reading the same folder, says what they should be. Measured: llama.cpp is within
2e-6 of it where float32 goes all the way, and was 1e-3 off where flash attention read the cache as f16.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import pytest
from asking import run
from evolve_llm_problems import locks
from fly_reference import EOS, Reference, gguf_tokens, reference
from vllm_here import requires_vllm

from evolve_llm.backends.base import Backend
from evolve_llm.backends.fly import SHIPPED, VOCABULARY, fly, fly_hard, shipped_weights
from evolve_llm.backends.vllm.backend import vllm
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.request import Completion, Prompt, Request, Sampling

TOLERANCE = 1e-4
"""In nats, for every alternative of every token: fifty times what was measured, a tenth of what f16 does."""

CANDIDATES = (0, 1, 2, 4)


def prompts() -> list[str]:
    """Standard prompts, and prompts of K = 1, 2 and 4 candidates that are partly wrong, for 1 to 4 locks."""
    made = []
    for place, problem in enumerate(locks.load(size=4, seed=5)):
        bundle = locks.read_question(problem.question)
        for k in CANDIDATES:
            tries = [
                [(int(key) + (i + j + place) % 3) % 10 for j, key in enumerate(problem.reference)]
                for i in range(k)
            ]
            parts = [*(locks.chain(bundle, keys) for keys in tries), problem.question]
            made.append(f"<{'|'.join(parts)}>")
    return made


def request(text: str, seed: int, max_tokens: int) -> Request:
    return Request(
        "p",
        Address(0, seed, "vary", 0),
        Prompt.user(text),
        Sampling(max_tokens=max_tokens),
        seed,
        logprobs=True,
    )


@dataclass(frozen=True)
class Answers:
    """What an engine gave: chains for the prompts, one token after each prefix of each, prompt lengths."""

    chains: list[Completion]
    after: list[list[Completion]]
    counted: list[int]


async def ask_engine(backend: Backend, texts: Sequence[str]) -> Answers:
    try:
        await backend.start()
        chains = await asyncio.gather(*(backend.generate(request(t, i, 40)) for i, t in enumerate(texts)))
        prefixes = [
            text + chain.text[:end]
            for text, chain in zip(texts, chains, strict=True)
            for end in range(len(chain.text) + 1)
        ]
        after = iter(await asyncio.gather(*(backend.generate(request(one, 7, 1)) for one in prefixes)))
        counted = [await backend.count_tokens(Prompt.user(text)) for text in texts]
        return Answers(list(chains), [list(islice(after, len(one.text) + 1)) for one in chains], counted)
    finally:
        await backend.close()


def check(model: Reference, backend: Backend) -> float:
    """Every alternative of every token, the drawn ones, the counts. Gives the worst difference in nats.

    The end mark, padding and the unused tokens have no text: such alternatives are told apart by their order.
    """
    texts = prompts()
    got = run(ask_engine(backend, texts), limit=500)
    assert (
        got.counted == [len(model.ids(text)) for text in texts] == [one.prompt_tokens for one in got.chains]
    )
    assert sum(chain.finish_reason == "stop" for chain in got.chains) > 0.9 * len(texts)
    worst = 0.0
    for text, chain, after in zip(texts, got.chains, got.after, strict=True):
        expected = model.after(text, chain.text)
        drawn = [*chain.text, *[EOS] * (chain.finish_reason == "stop")]
        assert chain.completion_tokens == len(drawn)  # a character is a token, and the end mark is one
        pairs = list(zip(chain.logprobs, map(dict.__getitem__, expected, drawn), strict=False))
        assert len(pairs) >= len(chain.text)
        for one, wanted in zip(after, expected, strict=True):
            assert len(one.first_token) == 10
            silent = iter(sorted((wanted[name] for name in wanted if len(name) > 1), reverse=True))
            pairs += [(value, wanted[token] if token else next(silent)) for token, value in one.first_token]
            assert max(wanted, key=wanted.__getitem__) == (one.first_token[0][0] or EOS)
        worst = max(worst, *(abs(given - wanted) for given, wanted in pairs))
    assert worst < TOLERANCE
    return worst


@pytest.fixture(scope="module")
def model() -> Reference:
    return reference()


@pytest.fixture(scope="module")
def hard() -> Reference:
    return reference(SHIPPED["fly-hard"])


def test_every_character_is_one_token_and_the_end_mark_is_none(model: Reference) -> None:
    assert model.ids("".join(sorted(VOCABULARY))) == [model.ids(one)[0] for one in sorted(VOCABULARY)]
    assert len({model.ids(one)[0] for one in VOCABULARY}) == len(VOCABULARY) == 27
    assert model.eos not in {model.ids(one)[0] for one in VOCABULARY}
    assert model.template("<a5037;>") == "<a5037;>"


def test_the_gguf_has_the_ids_of_the_tokenizer(model: Reference) -> None:
    assert gguf_tokens(shipped_weights().read_bytes()) == model.vocabulary


@pytest.mark.model
def test_llama_cpp_is_transformers(model: Reference) -> None:
    pytest.importorskip("xllamacpp")
    check(model, fly())


@pytest.mark.model
def test_llama_cpp_is_transformers_for_the_harder_fly(hard: Reference) -> None:
    pytest.importorskip("xllamacpp")
    check(hard, fly_hard())


@pytest.mark.model
@pytest.mark.timeout(600)
@requires_vllm
def test_vllm_is_transformers(model: Reference) -> None:
    check(model, vllm("fly"))
