"""Answers handed in beside the first, where a finish hands in several (ARC allows two)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from evolve_llm.nouns.candidate import Candidate


def further_attempts(members: Sequence[Candidate], first: str | None, attempts: int) -> list[Candidate]:
    """One member of each of the largest classes of the last population, the class ``first`` left out.

    At most ``attempts - 1``, largest class first, classes of one size in the order of their first members. A pure
    function of what is stored, so nothing but the population needs storing. Chains without an answer are no attempts.
    """
    live = [one for one in members if not one.failed and one.answer_class not in (None, first)]
    classes = Counter(one.answer_class for one in live)
    chosen = [name for name, _ in classes.most_common(attempts - 1)]
    return [next(one for one in live if one.answer_class == name) for name in chosen]
