"""What so many problems can show, before anything is run."""

from __future__ import annotations

import math

from evolve_llm.analysis.stats import detectable_difference, problems_needed

PARTED = 0.13
"""Share of problems on which two schemes give answers of which one is right: as on SuperGPQA, where a public study
needed 2,600 questions to settle a difference of 2 points."""


def power_statement(problems: int, parted: float = PARTED) -> str:
    """What a paired comparison of two single answers a problem can tell apart (80 % power, two-sided 5 % level).

    By normal theory on the paired differences, which are +1, 0 or -1; ``parted`` is the share of those that are not 0.
    """
    spread = math.sqrt(parted)
    found = detectable_difference(spread, problems)
    if found is None:
        return "power: one problem compares nothing"
    needed = problems_needed(spread, 0.02)
    return (
        f"power: {problems:,} problems tell two schemes apart that truly differ by {100 * found:.1f} points or more "
        f"(80 % power, 5 % level, where they part on {100 * parted:.0f} % of the problems); 2 points take {needed:,}"
    )
