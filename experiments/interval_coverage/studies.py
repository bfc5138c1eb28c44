"""Do the intervals, tests and stopping rules of a study keep what they promise? Thousands of simulated studies.

    python experiments/interval_coverage/studies.py

Prints the tables of README.md and writes results/studies.json. A few minutes on one core.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from at_once import at_looks, bootstrap, excluded, excluded_by_one_stake, holm_rejects, sign_flips
from differences import ARMS, KINDS, NULL_ARM, TRUE_NULLS, contest, moments, strength_where, study
from scipy import stats

from evolve_llm.analysis.stats import detectable_difference, problems_needed, sum_of_quantiles

RESULTS = Path(__file__).parent / "results" / "studies.json"
SIZES = (20, 60, 360)
POWER_OF = {"rates": 1.0, "rare": 1.0, "three seeds": 1.0, "skewed": 1.0, "replayed finish": 6.0}
"""The kinds whose mean can be moved, with the largest strength that is tried."""
STAKED_ON = (
    ("rates", 0.0, 0.0), ("rates", 0.0607, 0.03), ("rates", 0.1024, 0.05),
    ("rare", 0.0, 0.0), ("rare", 0.05, 0.05), ("rare", 0.1, 0.1), ("skewed", 1 / 33, 0.0),
)  # fmt: skip
"""Kind, strength and true difference of the data on which other stakes are tried."""
LOOK = 20
"""Problems between two looks."""
TURNED = 10
"""A table with more columns is printed turned."""
Row = dict[str, Any]


def share(hits: np.ndarray) -> Row:
    """A share of simulated studies with its exact 95 % binomial interval."""
    count, of = int(np.sum(hits)), len(hits)
    if not of:
        return {"share": None, "of": 0, "interval": [0.0, 1.0]}
    found = stats.binomtest(count, of).proportion_ci(0.95)
    return {"share": count / of, "of": of, "interval": [float(found.low), float(found.high)]}


def coverage(studies: int = 2000, *, draws: int = 2_000_000, sizes: Sequence[int] = SIZES) -> list[Row]:
    """How often the bootstrap at the end holds the truth, and whether the running interval ever left it."""
    rows: list[Row] = []
    for name, (kind, strength) in KINDS.items():
        truth, _ = moments(kind, strength, size=draws)
        rng = np.random.default_rng(1)
        for problems in sizes:
            values = kind(rng, studies * problems, strength).reshape(studies, problems)
            found = bootstrap(rng, values)
            given = ~np.isnan(found[:, 0])
            held = (found[given, 0] <= truth) & (truth <= found[given, 1])
            left = np.minimum(*excluded(values, truth)) <= problems
            rows.append({
                "data": name, "problems": problems, "truth": truth, "differ": float(np.mean(values != 0)),
                "no interval": share(~given), "bootstrap holds": share(held), "anytime ever left": share(left),
            })  # fmt: skip
    return rows


def power(studies: int = 2000, *, draws: int = 1_000_000, sizes: Sequence[int] = SIZES) -> list[Row]:
    """How often the sign-flip test finds what is promised in 80 of 100 studies.

    ``promised`` is z s / sqrt(n), as was promised when this was first run. ``more`` is what ``detectable_difference``
    promises since, with n - z² problems instead of n: the test knows the spread around 0 only, which is larger than
    that around the mean. Nothing stands where no strength gives so large a difference.
    """
    rows: list[Row] = []
    for name, problems, alpha in itertools.product(POWER_OF, sizes, (0.05, 0.01)):
        kind, row = KINDS[name][0], {"data": name, "problems": problems, "alpha": alpha}
        first = sum_of_quantiles(alpha=alpha) / math.sqrt(problems)
        for title, standard in (("", first), ("more: ", detectable_difference(1.0, problems, alpha=alpha))):

            def promised(mean: float, spread: float, root: float = standard or math.inf) -> bool:
                return mean >= spread * root

            at = strength_where(kind, promised, high=POWER_OF[name], size=draws)
            row |= {f"{title}promised": None, f"{title}found": None}
            if at is not None:
                rng = np.random.default_rng(2)
                values = kind(rng, studies * problems, at[0]).reshape(studies, problems)
                found = (sign_flips(rng, values)[:, 0] < alpha) & (values.mean(axis=1) > 0)
                row |= {f"{title}promised": at[1], f"{title}found": share(found)}
        rows.append(row)
    return rows


def several_arms(studies: int = 2000, *, problems: int = 360, first: int = 200) -> list[Row]:
    """What goes wrong, and what is found, in studies of five arms and a null arm, by the practice of reading them."""
    rng = np.random.default_rng(3)
    values = study(rng, studies, problems)
    looks, tests = range(LOOK, problems + 1, LOOK), len(ARMS)
    p = np.stack([sign_flips(rng, values[:, arm], looks) for arm in range(tests + 1)], axis=1)
    end = holm_rejects(p[:, :tests, -1])
    each = np.stack([holm_rejects(p[:, :tests, look]) for look in range(len(looks))], axis=-1).any(axis=-1)
    naive = (p < 0.05).any(axis=-1)
    settled = np.stack(
        [
            at_looks(np.minimum(*excluded(values[:, arm], 0.0, alpha=0.05 if arm == NULL_ARM else 0.05 / tests)), LOOK)
            for arm in range(tests + 1)
        ],
        axis=1,
    ) <= problems  # fmt: skip
    practices = {
        "Holm at the end": (end, p[:, NULL_ARM, -1] < 0.05),
        "anytime interval at alpha/5, every look": (settled[:, :tests], settled[:, NULL_ARM]),
        "Holm at every look": (each, naive[:, NULL_ARM]),
        "p < .05 at every look": (naive[:, :tests], naive[:, NULL_ARM]),
    }
    rows: list[Row] = []
    for practice, (found, null) in practices.items():
        wrong = found[:, TRUE_NULLS].any(axis=1)
        rows.append({
            "practice": practice, "problems": problems,
            "a true null rejected": share(wrong), f"a true null rejected, first {first}": share(wrong[:first]),
            "null arm found": share(null), f"null arm found, first {first}": share(null[:first]),
            **{f"rejected: {arm}": share(found[:, place]) for place, arm in enumerate(ARMS)},
        })  # fmt: skip
    return rows


def stopping(
    studies: int = 1000, *, limit: int = 1440, usual: int = 360, draws: int = 1_000_000,
    truths: Sequence[float] = (0.0, 0.02, 0.03, 0.05, 0.1, 0.2),
) -> list[Row]:  # fmt: skip
    """When the running interval settles one arm, and how far off the difference is that is seen then."""
    rows: list[Row] = []
    for name in ("rates", "rare"):
        kind = KINDS[name][0]
        for wanted in truths:
            reached = strength_where(kind, lambda mean, _, at=wanted: mean >= at, size=draws)
            if reached is None:
                raise ValueError(f"no strength of {name} gives a difference of {wanted}")
            strength, truth, spread = reached if wanted else (0.0, 0.0, 0.0)
            rng = np.random.default_rng(4)
            values = kind(rng, studies * limit, strength).reshape(studies, limit)
            at = at_looks(np.minimum(*excluded(values, 0.0)), LOOK)
            means = np.cumsum(values, axis=1) / np.arange(1, limit + 1)
            ended = np.minimum(at, usual)
            seen, early = means[np.arange(studies), ended - 1], at <= usual
            rows.append({
                "data": name, "truth": truth,
                "fixed, 80 %": problems_needed(spread, wanted) if wanted else None,
                "settled by 360": share(early), "settled by 1440": share(at <= limit),
                "median until settled": int(np.median(at)) if np.median(at) <= limit else None,
                "mean paid of 360": round(float(ended.mean())),
                "seen when settled": float(seen[early].mean()) if early.any() else None,
                "seen in all": float(seen.mean()), "wrong sign": share(early & (seen < 0) & (truth > 0)),
            })  # fmt: skip
    return rows


def halving(studies: int = 2000, *, arms: int = 8, problems: int = 360) -> list[Row]:
    """What is left of the truth where the worse half is dropped at 20, 40, 80, ... problems."""
    evenly = np.linspace(-0.1127, 0.1024, arms)
    lifts = {
        "all the same": np.zeros(arms),
        "one 5 points better": np.eye(arms)[-1] * 0.1024,
        "spread over 10 points": evenly,
    }
    rows: list[Row] = []
    for name, lift in lifts.items():
        rng = np.random.default_rng(5)
        values, truths = contest(rng, studies, problems, lift)
        means = np.cumsum(values, axis=2) / np.arange(1, problems + 1)
        left = np.tile(np.arange(arms), (studies, 1))
        dropped, look, bests, paid = [], LOOK, [], 0
        while left.shape[1] > 1:
            now = np.take_along_axis(means[:, :, look - 1], left, axis=1)
            order = np.argsort(-now - 1e-9 * rng.random(now.shape), axis=1)  # ties at random
            half = (left.shape[1] + 1) // 2
            out = np.take_along_axis(left, order[:, half:], axis=1)
            dropped.append(
                float((np.take_along_axis(means[:, :, look - 1], out, axis=1) - truths[out]).mean())
            )
            paid += out.shape[1] * look
            left = np.take_along_axis(left, order[:, :half], axis=1)
            bests.append(share(~(left == arms - 1).any(axis=1)))
            cut, look = look, 2 * look
        last = left[:, 0]
        every = np.arange(studies)
        chosen, truth = values[every, last], truths[last]
        p = sign_flips(rng, chosen)[:, 0]
        fresh = chosen[:, cut:]
        rows.append({
            "truths": name, "arms": arms, "paid, of all arms on all problems": (paid + problems) / (arms * problems),
            "cuts": [LOOK * 2**i for i in range(len(dropped))],
            "bias of the dropped": dropped,
            "bias of the survivor at its last cut": float((chosen[:, :cut].mean(axis=1) - truth).mean()),
            "bias of the survivor at the end": float((chosen.mean(axis=1) - truth).mean()),
            "bias on problems after the last cut": float((fresh.mean(axis=1) - truth).mean()),
            "best dropped by cut": bests if lift.any() else None,
            "true difference given up": float((truths.max() - truth).mean()),
            "survivor p < .05": share(p < 0.05), "survivor p < .05 / arms": share(p < 0.05 / arms),
            "survivor p < .05 on problems after the last cut": share(sign_flips(rng, fresh)[:, 0] < 0.05),
            "anytime interval at .05 / arms left the truth": share(_ever_left(values, truths, 0.05 / arms, last)),
        })  # fmt: skip
    return rows


def _ever_left(values: np.ndarray, truths: np.ndarray, alpha: float, last: np.ndarray) -> np.ndarray:
    """Whether the running interval of the survivor left its truth at any look."""
    left = np.zeros(len(values), dtype=bool)
    for arm, truth in enumerate(truths):
        mine = last == arm
        left[mine] = np.minimum(*excluded(values[mine, arm], float(truth), alpha=alpha)) <= values.shape[2]
    return left


def stakes(studies: int = 2000, *, problems: int = 360) -> list[Row]:
    """How often one arm is settled, by the interval as it is and by others that are as valid."""
    staking: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
        "as it is": excluded,
        "one, up to 0.5": excluded_by_one_stake,
        "one, up to 0.75": partial(excluded_by_one_stake, most=0.75),
        "planned, up to 0.5": partial(excluded_by_one_stake, planned=problems),
        "planned, up to 0.75": partial(excluded_by_one_stake, planned=problems, most=0.75),
    }
    rows: list[Row] = []
    for (name, strength, truth), alpha in itertools.product(STAKED_ON, (0.05, 0.01)):
        values = KINDS[name][0](np.random.default_rng(6), studies * problems, strength).reshape(
            studies, problems
        )
        settled = {
            title: share(np.minimum(*at(values, 0.0, alpha=alpha)) <= problems)
            for title, at in staking.items()
        }
        rows.append({"data": name, "truth": truth, "alpha": alpha, **settled})
    return rows


PARTS: dict[str, Callable[[], list[Row]]] = {
    "coverage": coverage,
    "power": power,
    "several arms": several_arms,
    "several arms, 60 problems": lambda: several_arms(problems=60),
    "stopping": stopping,
    "halving": halving,
    "halving, 16 arms": lambda: halving(1000, arms=16),
    "stakes": stakes,
}


def cell(value: Any) -> str:
    """One value of a table: shares in per cent with their interval."""
    if isinstance(value, dict):
        low, high = value["interval"]
        if value["share"] is None:
            return "–"
        return f"{100 * value['share']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    if isinstance(value, list):
        return ", ".join(cell(one) for one in value)
    if isinstance(value, float):
        return f"{value:.3f}"
    return "–" if value is None else str(value)


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table; turned, a row for each quantity, where there are many."""
    lines = [list(rows[0]), *([cell(one) for one in row.values()] for row in rows)]
    if len(rows[0]) > TURNED:
        lines = [list(line) for line in zip(*lines, strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], ["---"] * len(lines[0]), *lines[1:]])


def main() -> None:
    """Run the parts that are named, all by default; print their tables, and put them into the results."""
    given = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    given.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    asked = given.parse_args().parts or list(PARTS)
    if unknown := [one for one in asked if one not in PARTS]:
        given.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    RESULTS.parent.mkdir(exist_ok=True)
    for part in asked:
        rows = PARTS[part]()
        print(f"\n## {part}\n\n{table(rows)}", flush=True)
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps({**kept, part: rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
