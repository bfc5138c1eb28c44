"""What of a parent's chain its children read: all of it, or its tail."""

from __future__ import annotations

from dataclasses import dataclass, replace

from evolve_llm.candidate import Candidate


@dataclass(frozen=True, slots=True)
class Carry:
    """``tokens``: children read about the last so many tokens of each parent; None: the whole chain.

    Source: Markovian RSA, arXiv 2605.05365. Tokens are taken from characters at the chain's own rate, since
    not every backend tells where its tokens end; the cut then moves on to the next line, so it errs short.
    """

    tokens: int | None = None

    def of(self, parent: Candidate) -> Candidate:
        """The parent as its children see it: itself, or a copy with a shorter text."""
        if self.tokens is None or parent.text_tokens <= self.tokens:
            return parent
        return replace(parent, text=tail(parent.text, self.tokens / parent.text_tokens))


WHOLE = Carry()


def tail(text: str, share: float) -> str:
    """The last ``share`` (0 to 1) of a text's characters, from the next line on if there is one."""
    start = len(text) - int(len(text) * share)
    kept = text[start:]
    if start == 0 or text[start - 1] == "\n":
        return kept
    _, newline, whole_lines = kept.partition("\n")
    return whole_lines if newline and whole_lines.strip() else kept
