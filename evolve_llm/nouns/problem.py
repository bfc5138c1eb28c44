"""Problem: one question, with what is needed to grade it, if anything is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.picture import Picture


@dataclass(frozen=True, slots=True)
class Problem:
    """One question of a problem set.

    ``id`` is unique in its set and stable between runs: seeds are derived from it.
    ``format`` names how an answer is written (``boxed``, ``tags``, ``option``, ``code``, ``text`` or
    a plug-in's own): it picks the prompt templates and how the final answer is taken out of a chain.
    ``grader`` names who grades (``math``, ``option``, ``exact``, ``reasoning_gym`` or a plug-in's own);
    ``reference`` is whatever JSON value that grader needs. Either may be None: then nothing is graded.
    ``metadata`` is free, JSON-serialisable, and may be shown to operators: no reference belongs in it.
    ``pictures`` belong to the question. Every prompt about the problem carries them, once and first, whatever
    operator made it.
    """

    id: str
    question: str
    format: str = "text"
    grader: str | None = None
    reference: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()

    def __post_init__(self) -> None:
        read = tuple(one if isinstance(one, Picture) else Picture(**one) for one in self.pictures)
        object.__setattr__(self, "pictures", read)

    def plain(self) -> dict[str, Any]:
        """As JSON keeps it; ``Problem(**plain)`` is the problem again."""
        found = asdict(self)
        if not self.pictures:
            del found["pictures"]
        return found

    def public(self) -> Problem:
        """The same problem without its reference: the only form an operator ever sees (invariant I3)."""
        return replace(self, reference=None)


def problems_digest(problems: Sequence[Problem]) -> str:
    """32 hexadecimal digits over every field of every problem, in order."""
    digest = hashlib.blake2b(digest_size=16)
    for problem in problems:
        try:
            digest.update(json.dumps(problem.plain(), sort_keys=True, ensure_ascii=True).encode())
        except (TypeError, ValueError) as error:
            raise UserError(f"problem {problem.id!r} has a field that is not JSON: {error}") from error
    return digest.hexdigest()
