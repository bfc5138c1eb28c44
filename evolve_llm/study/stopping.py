"""When an arm may end early: at looks whose intervals allow for looking, or in the worse half of the arms."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evolve_llm.analysis.sequential import confidence_sequence
from evolve_llm.analysis.stats import Interval
from evolve_llm.study.plan import ALPHA
from evolve_llm.study.spec import Arm, Study

Values = Sequence[float | None]
Why = Literal["settled", "halving", "all"]


@dataclass(frozen=True, slots=True)
class End:
    """An arm has run so many ``problems``: it is ``settled``, or was ended by ``halving``, or has run them ``all``.

    ``difference`` from the baseline over the problems graded in both, and its anytime-valid ``interval`` at the level
    of the study; None for nothing graded.
    """

    problems: int
    why: Why
    difference: float | None
    interval: Interval | None


def ends(study: Study, values: Mapping[str, Values], problems: int, upto: int) -> dict[str, End]:
    """Which arms of one place have ended after looks at the first ``upto`` of its problems, by name.

    ``values`` holds the quoted number of each arm and baseline, problem by problem, as far as it has run. A baseline
    is in the result once none of its arms needs it. Nothing but the values up to a look decides what is done at it:
    a study that is resumed decides the same again.
    """
    assert study.stopping is not None
    found: dict[str, End] = {}
    groups: dict[str, list[Arm]] = defaultdict(list)
    for baseline, arm in study.contrasts():
        groups[baseline.name].append(arm)
    for look in study.stopping.looks(problems):
        if look > upto:
            break
        for base, arms in groups.items():
            running = [one for one in arms if one.name not in found]
            seen = {one.name: _seen(study, one, values[base], values[one.name], look) for one in running}
            for name, (difference, interval) in seen.items():
                if interval is not None and not interval[0] <= 0 <= interval[1]:
                    found[name] = End(look, "settled", difference, interval)
                elif look == problems:
                    found[name] = End(look, "all", difference, interval)
            if study.stopping.halving and look < problems:
                left = [name for name in seen if name not in found]
                ranked = sorted(left, key=lambda name: _rank(seen[name][0]))
                for name in ranked[: len(left) // 2]:
                    found[name] = End(look, "halving", *seen[name])
            if running and all(one.name in found for one in arms):
                found[base] = End(look, "all", None, None)
    return found


def _rank(difference: float | None) -> float:
    return -math.inf if difference is None else difference


def _seen(
    study: Study, arm: Arm, base: Values, own: Values, look: int
) -> tuple[float | None, Interval | None]:
    pairs = zip(base[:look], own[:look], strict=False)
    differences = [b - a for a, b in pairs if a is not None and b is not None]
    if not differences:
        return None, None
    interval = confidence_sequence(differences, alpha=ALPHA if arm.null else level(study))
    return math.fsum(differences) / len(differences), interval


def level(study: Study) -> float:
    """The level of one anytime-valid interval: all that are quoted share what may be missed."""
    return ALPHA if study.correction == "none" else ALPHA / max(1, study.tests)
