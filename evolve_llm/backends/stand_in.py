"""What the command line's ``--model scripted`` says: a stand-in for a model, without any reasoning.

It reads integer sums out of the prompt, copies answers of candidates it finds there, and errs with a
stated probability, so that every preset runs on every problem set with varied, deterministic answers.
Nothing it scores says anything about a search method.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from random import Random

from evolve_llm.nouns.request import Prompt, Request

_SUM = re.compile(r"(?<![\w.])-?\d{1,18}(?:\s*[+\u2212-]\s*\d{1,18})+(?![\w.])")
_TERM = re.compile(r"([+\u2212-]?)\s*(\d+)")
_ANSWER = re.compile(
    r"\\boxed\{([^{}\n]{1,40})\}|<answer>([^<\n]{1,200})</answer>|[Aa]nswer:?\s+(?:is\s+)?\(?([A-Z]|-?\d+)\)?(?!\w)"
)
_PLACEHOLDER = re.compile(r"^\W*(?:x|and|or|answer|your .*|the .*|letter|final .*)?\W*$", re.IGNORECASE)
_VERDICT_ASKED = "Verdict: INCORRECT"
_CHOICE = re.compile(r"^\s*\(?([A-Z])[).:]\s", re.MULTILINE)


def random_for(request: Request, salt: int) -> Random:
    """The generator of everything the stand-in decides about one request.

    It depends on prompt and sampling, and on the seed unless the temperature is 0, as a model would.
    """
    sampling = request.sampling
    seed = request.seed if sampling.temperature > 0 else 0
    text = "\x1f".join(f"{message.role}\x1e{message.content}" for message in request.prompt.messages)
    key = f"{salt}\x1f{seed}\x1f{sampling.temperature}\x1f{sampling.top_p}\x1f{text}"
    return Random(hashlib.blake2b(key.encode(errors="replace"), digest_size=16).digest())


def chain(request: Request, rng: Random, error: float, answers: tuple[str, ...] = ()) -> str:
    """A short pseudo-chain that ends in an answer written as the prompt asks.

    ``error`` in [0, 1] is the probability of missing a sum it can read; it shrinks with the agreement of
    the candidates in the prompt. ``answers`` replaces all of that by a uniform choice. A prompt that ends by
    asking for a verdict gets one, wrong with probability ``error``.
    """
    text = _text(request.prompt)
    if text.rstrip().endswith(_VERDICT_ASKED):
        return _verdict(text, rng, error)
    if answers:
        return _written(rng.choice(answers), text, "chosen from a list")
    votes = _votes(text)
    if votes and rng.random() < 0.5 + 0.5 * votes.most_common(1)[0][1] / votes.total():
        return _written(votes.most_common(1)[0][0], text, f"copied from {votes.total()} candidates")
    return _written(_own(text, rng, error), text, "read from the question")


def _verdict(text: str, rng: Random, error: float) -> str:
    """Whether the last answer in a text is its first sum; a toss where there is no sum to be read."""
    value, answers = exact_sum(text), list(_votes(text))
    right = answers[-1:] == [str(value)] if value is not None else rng.random() < 0.5
    said = "CORRECT" if right != (rng.random() < error) else "INCORRECT"
    return f"This is a stand-in for a model.\nVerdict: {said}"


def exact_sum(text: str) -> int | None:
    """The value of the first sum of integers in a text, None where there is none."""
    found = _SUM.search(text)
    if found is None:
        return None
    return sum(
        int(digits) * (-1 if sign in ("-", "\u2212") else 1) for sign, digits in _TERM.findall(found[0])
    )


def _text(prompt: Prompt) -> str:
    return "\n".join(message.content for message in prompt.messages)


def _votes(text: str) -> Counter[str]:
    found = ("".join(groups).strip() for groups in _ANSWER.findall(text))
    return Counter(answer for answer in found if not _PLACEHOLDER.match(answer))


def _own(text: str, rng: Random, error: float) -> str:
    choices = sorted(set(_CHOICE.findall(text)))
    if len(choices) > 1:
        return str(rng.choice(choices))
    value = exact_sum(text)
    if value is None:
        return str(rng.randrange(10))
    return str(value + rng.choice((-10, -1, 1, 10)) if rng.random() < error else value)


def _written(answer: str, text: str, how: str) -> str:
    lead = f"This is a stand-in for a model; its answer was {how}."
    if "\\boxed" in text:
        return f"{lead}\nTherefore the answer is \\boxed{{{answer}}}."
    if "<answer>" in text.lower():
        return f"{lead}\n<answer>{answer}</answer>"
    if "```" in text or "code block" in text.lower():
        return f"{lead}\n```python\nprint({answer!r})\n```"
    if _CHOICE.search(text):
        return f"{lead}\nTherefore the answer is ({answer})."
    return f"{lead}\n{answer}"
