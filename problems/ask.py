"""One question from the command line, with nothing to grade it by."""

from __future__ import annotations

import hashlib

from evolve_llm.errors import UserError
from evolve_llm.problem import Problem


def ask(question: str, *, format: str = "tags") -> Problem:
    """A Problem without a reference. Equal questions have equal ids.

    The default format asks for a short final answer in ``<answer>`` tags: majority voting and agreement
    compare final answers, and in the free-text format that would be whole texts, which never agree.

    Raises UserError for an empty question.
    """
    text = question.strip()
    if not text:
        raise UserError("the question is empty")
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return Problem(id=f"ask/{digest}", question=text, format=format)
