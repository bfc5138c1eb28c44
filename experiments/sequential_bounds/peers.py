"""The widths that other libraries give for the data of bounds.py: confseq or ville, whichever can be imported.

    python3.10 -m venv peers && peers/bin/pip install "numpy<2" confseq==0.0.11
    peers/bin/python experiments/sequential_bounds/peers.py

For ville 0.1.0 any newer Python and numpy will do. Prints Markdown rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from kinds import KINDS

SIZES, STUDIES = (20, 60, 360), 40
Ends = tuple[np.ndarray, np.ndarray]


def sequences() -> dict[str, Callable[[np.ndarray], Ends]]:
    """Functions from values in [0, 1] to lower and upper ends after each."""
    found: dict[str, Callable[[np.ndarray], Ends]] = {}
    try:
        from confseq import betting, predmix
    except ImportError:
        pass
    else:
        found["confseq, betting_cs"] = lambda x: betting.betting_cs(x, running_intersection=True)
        found["confseq, dKelly_cs"] = lambda x: betting.dKelly_cs(x, running_intersection=True)
        found["confseq, predmix_empbern_twosided_cs"] = lambda x: predmix.predmix_empbern_twosided_cs(
            x, running_intersection=True
        )
    try:
        from ville import BettingCS
    except ImportError:
        pass
    else:

        def ville(x: np.ndarray) -> Ends:
            told = BettingCS().update(x)
            return told.lower_, told.upper_

        found["ville, BettingCS"] = ville
    return found


def main() -> None:
    """A row for each kind of data and library."""
    for name, kind in KINDS.items():
        values = (kind(np.random.default_rng(1), 500, SIZES[-1], 1.0)[:STUDIES] + 1) / 2
        for title, sequence in sequences().items():
            begun = time.perf_counter()
            ends = [sequence(row) for row in values]
            each = 1000 * (time.perf_counter() - begun) / STUDIES
            cells = [np.mean([2 * (u[n - 1] - low[n - 1]) for low, u in ends]) for n in SIZES]
            print(f"| {name} | {title} | {' | '.join(f'{one:.3f}' for one in cells)} | {each:.0f} ms |")


if __name__ == "__main__":
    main()
