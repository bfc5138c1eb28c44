"""``evolve-llm plan --predict``: the curve that settings would give, from runs that were made with others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evolve_llm.cli.console import console, print_json
from evolve_llm.cli.tables import make_table, share, styled


def predict(runs: Sequence[Path], n: int, k: int, t: int, budget: int | None, *, json: bool) -> None:
    """Print the expected pass@1 of a preset's N, K and T, and the best settings for a budget of tokens a problem."""
    from evolve_llm.analysis.drift import best_settings, fit, plain, predictions
    from evolve_llm.analysis.run import Run

    model = fit([Run(path) for path in runs])
    (expected,) = predictions(model, [(n, k, t)])
    spent = budget if budget is not None else expected.tokens
    best = best_settings(model, spent)
    data: dict[str, Any] = {
        **plain(expected),
        "budget_per_problem": round(spent),
        "best": [
            {
                "population": one[0],
                "parents": one[1],
                "generations": one[2],
                "pass@1": one[3],
                "tokens": round(one[4]),
            }
            for one in best
        ],
    }
    if json:
        print_json(data)
        return
    out = console()
    setting = f"N={n}, K={k}, T={t}, parents drawn uniformly, {expected.tokens:,.0f} tokens a problem"
    out.print(styled(f"expected for {setting}", "bold"), soft_wrap=True)
    table = make_table([("gen", "right"), ("pass@1", "right"), ("95 %", "right")])
    for number, (value, (low, high)) in enumerate(zip(expected.pass_1, expected.intervals, strict=True)):
        table.add_row(str(number), share(value), f"{low:.2f}–{high:.2f}")
    out.print(table)
    if not expected.measured_parents:
        out.print(
            styled(
                f"no run given had K={k}: its curve is read off the nearest K, by the share of right parents",
                "yellow",
            ),
            soft_wrap=True,
        )
    out.print(styled(f"\nThe best that {spent:,.0f} tokens a problem are expected to buy", "bold"))
    table = make_table([(name, "right") for name in ("N", "K", "T", "pass@1 at the end", "tokens")])
    for row in best:
        table.add_row(str(row[0]), str(row[1]), str(row[2]), share(row[3]), f"{row[4]:,.0f}")
    out.print(table)
    out.print(
        styled(
            "a model of right and wrong chains alone (docs/credit.md): what is settled by it should be run",
            "dim",
        ),
        soft_wrap=True,
    )
