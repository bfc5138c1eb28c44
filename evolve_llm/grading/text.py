"""Graders that compare text: ``exact`` (the whole answer) and ``option`` (one letter)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from evolve_llm.grading.base import Grade, Isolation, Verdict
from evolve_llm.grading.normalize import folded, plain, spaced

_OPTION = re.compile(
    r"\s*(?:\\(?:text|textbf|mathrm|mathbf|boxed)\s*\{)?\s*\**[(\[]?\s*([A-Za-z])\s*[)\].:]?\**\s*\}?\s*[.)]?\s*"
)
_OPTION_LENGTH = 64


@dataclass(frozen=True)
class ExactGrader:
    """Correct when the texts agree up to white space, case and invisible characters."""

    name: str = "exact"

    def isolation(self, reference: Any) -> Isolation:  # noqa: ARG002 - the contract's signature
        """An ordinary worker is enough, because text is compared and never executed."""
        return "worker"

    def quick(self, answer: str, reference: Any) -> Verdict:
        """The verdict, which is always found at once. Its rule is ``exact-text``."""
        same = folded(answer) == folded(str(reference))
        return Verdict(Grade.CORRECT if same else Grade.INCORRECT, "exact-text")

    def grade(self, answer: str, reference: Any) -> Verdict:
        """The verdict of `quick`."""
        return self.quick(answer, reference)

    def quick_canonical(self, answer: str) -> str:
        """The folded text of the answer."""
        return folded(answer)

    def canonical(self, answer: str) -> str:
        """The folded text of the answer."""
        return folded(answer)


def option_letter(text: str) -> str | None:
    """The one option letter a short text states (``C``, ``(c)``, ``\\text{C}``, ``C.``), else None."""
    if len(text) > _OPTION_LENGTH:
        text = text.strip()
        if len(text) > _OPTION_LENGTH:
            return None
    match = _OPTION.fullmatch(plain(text))
    return match.group(1).upper() if match else None


@dataclass(frozen=True)
class OptionGrader:
    """Correct when the answer is the right option's letter, or its own text, and nothing else.

    The reference is the letter, or ``{"letter": "B", "options": [...]}``: only then can texts be told. Votes are
    counted by letter, so a chain that writes an option's text votes apart from those that write its letter.
    """

    name: str = "option"

    def isolation(self, reference: Any) -> Isolation:  # noqa: ARG002 - the contract's signature
        """An ordinary worker is enough, because letters are compared and never executed."""
        return "worker"

    def quick(self, answer: str, reference: Any) -> Verdict:
        """Always settled here. Rules ``option``, ``option-text``, ``not-an-option``; ``bad-reference`` is ungraded."""
        listed = isinstance(reference, dict)
        options = _texts(reference.get("options")) if listed else []
        wanted = option_letter(str(reference.get("letter", "") if listed else reference))
        if wanted is None or (listed and not 0 <= ord(wanted) - ord("A") < len(options)):
            return Verdict(
                Grade.UNGRADED, "bad-reference", detail=f"not an option letter: {str(reference)[:80]!r}"
            )
        given, rule = option_letter(answer), "option"
        if given is None and options:
            given, rule = _by_text(answer, options), "option-text"
        if given is None or (listed and ord(given) - ord("A") >= len(options)):
            return Verdict(Grade.INCORRECT, "not-an-option")
        return Verdict(Grade.CORRECT if given == wanted else Grade.INCORRECT, rule)

    def grade(self, answer: str, reference: Any) -> Verdict:
        """The verdict of `quick`."""
        return self.quick(answer, reference)

    def quick_canonical(self, answer: str) -> str:
        """The letter, or the text where there is none."""
        return option_letter(answer) or spaced(answer)

    def canonical(self, answer: str) -> str:
        """The form of `quick_canonical`."""
        return self.quick_canonical(answer)


def _texts(options: Any) -> list[str]:
    return [_words(str(one)) for one in options] if isinstance(options, list | tuple) else []


def _words(text: str) -> str:
    return folded(text).strip(" .$")


def _by_text(answer: str, options: list[str]) -> str | None:
    """The letter of the one option whose own text this is."""
    words = _words(answer[:4_000])
    return chr(ord("A") + options.index(words)) if options.count(words) == 1 else None


exact = ExactGrader()
option = OptionGrader()
