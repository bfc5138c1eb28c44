"""What so many problems can show, before anything is run."""

from __future__ import annotations

import math

from evolve_llm.analysis.stats import sum_of_quantiles

PARTED = 0.13
"""Share of problems on which two schemes give answers of which one is right: as on SuperGPQA, where a public study
needed 2,600 questions to settle a difference of 2 points."""


def detectable_with_answers(problems: int, parted: float = PARTED, *, alpha: float = 0.05) -> float | None:
    """The true difference that the sign-flip test finds with 80 % power from two single answers a problem.

    By normal theory on the paired differences, which are +1, 0 or -1; ``parted`` is the share of those that are not 0.
    Their spread around 0, which is what the test takes, is its root whatever the difference is. None where that would
    be more than ``parted``, which no difference can be.
    """
    found = sum_of_quantiles(alpha=alpha) * math.sqrt(parted / problems)
    return found if found <= parted else None


def power_statement(problems: int, parted: float = PARTED) -> str:
    """What a paired comparison of two single answers a problem can tell apart (80 % power, two-sided 5 % level).

    By ``detectable_with_answers``, for at least one problem.
    """
    if problems < 2:
        return "power: one problem compares nothing"
    found = detectable_with_answers(problems, parted)
    where = f"80 % power, 5 % level, where they part on {100 * parted:.0f} % of the problems"
    needed = math.ceil(sum_of_quantiles() ** 2 * parted / 0.02**2 - 1e-9)
    if found is None:
        return f"power: {problems:,} problems are too few to tell two schemes apart ({where}); 2 points take {needed:,}"
    return (
        f"power: {problems:,} problems tell two schemes apart that truly differ by {100 * found:.1f} points or more "
        f"({where}); 2 points take {needed:,}"
    )
