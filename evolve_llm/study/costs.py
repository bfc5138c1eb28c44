"""What accuracy costs: each arm's curve over calls, tokens and the model's time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve_llm.analysis.pairing import Metric, common_problems, read_series
from evolve_llm.analysis.run import Run
from evolve_llm.record.store import Store
from evolve_llm.study.places import run_folder
from evolve_llm.study.spec import Study, Where


@dataclass(frozen=True, slots=True)
class Point:
    """An arm after a generation: its accuracy, and what a problem has cost until then, both means over problems."""

    generation: int
    value: float
    calls: float
    prompt_tokens: float
    completion_tokens: float

    @property
    def tokens(self) -> float:
        """Prompt and completion."""
        return self.prompt_tokens + self.completion_tokens


def curves_of(study: Study, where: Where, folder: Path, metric: Metric) -> dict[str, list[Point]]:
    """Each arm's points by its name, over the problems that every arm has finished, seeds averaged.

    What an arm shares with others is counted as if it had been paid for: a curve says what a scheme costs, not what
    the study paid. The end of a problem that stopped early counts in every later generation.
    """
    groups = [[Run(run_folder(folder, where, arm, seed)) for seed in study.seeds] for arm in study.arms]
    series = read_series(groups, "total")
    problems = common_problems(series, partial=True)
    found: dict[str, list[Point]] = {}
    for arm, runs, one in zip(study.arms, groups, series, strict=True):
        costs = _costs(runs, problems, one.generations)
        points = []
        for generation, (calls, prompt, completion) in enumerate(costs):
            values = [one.value(metric, name, generation) for name in problems]
            known = [value for value in values if value is not None]
            if known:
                points.append(Point(generation, math.fsum(known) / len(known), calls, prompt, completion))
        found[arm.name] = points
    return found


def _costs(runs: Iterable[Run], problems: list[str], generations: int) -> list[tuple[float, float, float]]:
    """(calls, prompt tokens, completion tokens) a problem until each generation, mean over runs and problems."""
    sums = [[0.0, 0.0, 0.0] for _ in range(generations)]
    count = 0
    for run in runs:
        count += 1
        with Store.open_to_read(run.path) as store:
            wanted = {order for order, one in enumerate(store.problems()) if one.id in set(problems)}
            for order, generation, asked, written in store.spending():
                if order in wanted:
                    sums[generation][1] += asked
                    sums[generation][2] += written
            for order, generation, calls in store.requests():
                if order in wanted:
                    sums[generation][0] += calls
    found, total = [], (0.0, 0.0, 0.0)
    for row in sums:
        added = [value / max(1, count) / max(1, len(problems)) for value in row]
        total = (total[0] + added[0], total[1] + added[1], total[2] + added[2])
        found.append(total)
    return found


def seconds_a_token(work: Iterable[Mapping[str, Any]]) -> tuple[float, float] | None:
    """Seconds of this engine for a prompt token and for a completion token, by least squares, neither below 0.

    From what each run of the study was paid for and how long it took. None for fewer than two runs. It is the time of
    an engine that is kept busy: a scheme that waits for its own generations takes longer on an idle one.
    """
    import numpy as np
    from scipy.optimize import nnls

    rows = [(one["prompt_tokens"], one["completion_tokens"], one["seconds"]) for one in work]
    if len(rows) < 2:
        return None
    data = np.asarray(rows, dtype=float)
    found, _ = nnls(data[:, :2], data[:, 2])
    return float(found[0]), float(found[1])
