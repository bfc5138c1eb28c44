"""An estimate of prompt lengths for models whose tokenizer is out of reach. It errs high."""

from __future__ import annotations

import re
from dataclasses import replace

from evolve_llm.nouns.request import Prompt

PER_MESSAGE = 8
"""Tokens a chat template spends on one message's role and delimiters (4 in ChatML, up to 7 in Llama 3)."""

PER_PROMPT = 32
"""Tokens a chat template adds once: its start, the answer's turn, often a default system message."""

_LETTERS = re.compile(r"[A-Za-z]+")
_FREE_SPACES = re.compile(r"(?<!\s) (?![\s\d])")
_SPACES = re.compile(r"\s+")


def estimate_tokens(text: str) -> int:
    """Tokens of a text, counted high: 3 ASCII letters, 1 digit or symbol, 1 byte of anything else, or a
    stretch of white space of 8 characters each cost one token; a single space is free before a word or
    symbol, whose token takes it in, but not before a digit.

    An upper bound for prose, code, grids of digits and mathematics, not for adversarial strings.
    """
    words = _LETTERS.findall(text)
    blanks = _SPACES.findall(text)
    rest = (
        len(text.encode(errors="replace")) - sum(map(len, words)) - sum(len(run.encode()) for run in blanks)
    )
    word_tokens = sum((len(run) + 2) // 3 for run in words)
    blank_tokens = sum((len(run) + 7) // 8 for run in blanks) - len(_FREE_SPACES.findall(text))
    return rest + word_tokens + blank_tokens


def estimate_prompt_tokens(prompt: Prompt) -> int:
    """Tokens of a conversation with the chat template's own and its pictures, counted high."""
    texts = sum(PER_MESSAGE + estimate_tokens(message.content) for message in prompt.messages)
    return PER_PROMPT + texts + picture_tokens(prompt)


def picture_tokens(prompt: Prompt) -> int:
    """What the pictures of a conversation may cost, counted high."""
    return sum(one.tokens for one in prompt.pictures)


def without_pictures(prompt: Prompt) -> Prompt:
    """The same conversation in text alone, for tokenizers that know nothing else."""
    return Prompt(tuple(replace(one, pictures=()) for one in prompt.messages)) if prompt.pictures else prompt
