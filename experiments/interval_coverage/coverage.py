"""How often do 95 % intervals of a difference in accuracy hold the true difference, by number of problems?

    python experiments/interval_coverage/coverage.py

Prints the table of README.md. About a minute on one core.
"""

from __future__ import annotations

import numpy as np
from differences import rare, rates
from scipy import stats

from evolve_llm.analysis.stats import bootstrap_interval

DATA_SETS, RESAMPLES = 2000, 1999


def bca(values: np.ndarray) -> tuple[float, float]:
    """The bootstrap most packages offer."""
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="BCa", random_state=np.random.default_rng(0)
    ).confidence_interval
    return found.low, found.high


def main() -> None:
    """Print one row a kind of data and number of problems."""
    print("| data | problems | BCa bootstrap | ours |\n|---|---|---|---|")
    for draw in (rates, rare):
        rng = np.random.default_rng(1)
        truth = float(draw(rng, 2_000_000).mean())
        for problems in (5, 10, 20, 30, 60):
            held = []
            while len(held) < DATA_SETS:
                values = draw(rng, problems)
                ours = bootstrap_interval(values.tolist(), resamples=RESAMPLES)
                if ours is not None:  # nothing varies: no interval is given
                    held.append([low <= truth <= high for low, high in (bca(values), ours)])
            cells = " | ".join(f"{100 * share:.0f} %" for share in np.mean(held, axis=0))
            print(f"| {draw.__name__} | {problems} | {cells} |")


if __name__ == "__main__":
    main()
