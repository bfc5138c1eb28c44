"""What is said of each claim, by rules that were fixed before the full runs: the table of README.md and the docs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from claims_runs import HERE

DOCS = HERE.parents[1] / "docs"
BEGIN, END = (
    "<!-- written by experiments/paper_claims/claims_report.py --publish -->",
    "<!-- end of what is written -->",
)
LITTLE = 0.05
"""A difference whose whole interval is nearer to 0 than this is called small."""

Row = dict[str, Any]


def shown(row: Row, *, sign: bool = False) -> str:
    """``.82 [.77, .87]``."""
    mark = "+" if sign else ""
    interval = row["interval"]
    ends = f" [{interval[0]:{mark}.2f}, {interval[1]:{mark}.2f}]" if interval else ""
    return f"{row['mean']:{mark}.2f}{ends}".replace("0.", ".")


def positive(row: Row) -> str:
    """Whether a difference is above 0: the interval has the word."""
    if row["interval"] is None:
        return "holds" if row["mean"] > 0 else "not settled"
    low, high = row["interval"]
    return "holds" if low > 0 else "does not hold" if high < 0 else "not settled"


def small(rows: Iterable[Row]) -> str:
    """Whether differences are all small; ``does not hold`` where one surely is not."""
    verdict = "holds"
    for row in rows:
        low, high = row["interval"] or (row["mean"], row["mean"])
        if low > LITTLE or high < -LITTLE:
            return "does not hold"
        if low < -LITTLE or high > LITTLE:
            verdict = "not settled"
    return verdict


def largest(steps: dict[str, Row]) -> str:
    """Whether the first step is above 0 and its interval above the other steps' means."""
    first, *others = steps.values()
    low = (first["interval"] or (first["mean"],))[0]
    if low > max(0.0, *(row["mean"] for row in others)):
        return "holds"
    return (
        "does not hold"
        if any((row["interval"] or (0,))[0] > first["mean"] for row in others)
        else "not settled"
    )


def rows(claims: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Claim, the paper, the fly, verdict: for every claim that there are runs for."""
    g, o = claims["generations"], claims["opponents"]
    last = len(g["pass@1"]) - 1
    found = [
        (
            "Accuracy grows with generations",
            "AIME-25 43.9 → 73.2 in T=10 (Qwen3-4B, N=16, K=4)",
            f"pass@1 {shown(g['pass@1'][0])} → {shown(g['pass@1'][last])}, gain {shown(g['gain'], sign=True)}",
            positive(g["gain"]),
        )
    ]
    if "parents" in claims:
        steps = dict(claims["parents"]["steps"])
        steps.pop("4 - 1", None)
        said = ", ".join(
            f"K={k.replace(' - ', ' over ')}: {shown(row, sign=True)}" for k, row in steps.items()
        )
        late = [row for k, row in steps.items() if int(k.split()[0]) > 3]
        found.append(("K=2 over K=1 is the largest step", "the largest", said, largest(steps)))
        if late:
            found.append(
                (f"K beyond 3 adds little (less than {LITTLE:.2f})", "little", "as above", small(late))
            )
    if "populations" in claims:
        p = claims["populations"]
        for n in ("4", "64"):
            if n in p["last - last of N=16"]:
                row, ends = p["last - last of N=16"][n], p["pass@1"][n][-1]
                turned = {
                    "mean": -row["mean"],
                    "interval": row["interval"] and [-x for x in row["interval"][::-1]],
                }
                found.append(
                    (
                        f"A larger N ends higher: {'16 over 4' if n == '4' else '64 over 16'}",
                        "N sets the asymptote",
                        f"N={n} ends at {shown(ends)}; N={n} less N=16 {shown(row, sign=True)}",
                        positive(turned if n == "4" else row),
                    )
                )
        if "64" in p["early"]:
            row = p["early"]["64"]
            turned = {
                "mean": -row["mean"],
                "interval": row["interval"] and [-x for x in row["interval"][::-1]],
            }
            bits = " and ".join(f"{p['entropy'][n][-1]['mean']:.2f} (N={n})" for n in ("64", "16"))
            found.append(
                (
                    "A large N mixes slowly: N=64 is behind N=16 early",
                    "mixes slowly",
                    f"generation 2: {shown(row, sign=True)}; entropy left at the end {bits} bits",
                    positive(turned),
                )
            )
    for name, row in o["rows"].items():
        if not name.startswith("RSA") and name != "K=1, parents drawn":
            equal = (
                "" if "tokens" in name or " of " in name else f" ({row['tokens'] / 1000:.1f} thousand tokens)"
            )
            found.append(
                (
                    f"RSA beats {name}",
                    PAPER.get(name.split(" of ")[0].split(",")[0], "beats it"),
                    f"{shown(row)}{equal}, RSA {shown(o['rows']['RSA'])}; "
                    f"RSA less it {shown(row['RSA - it'], sign=True)}",
                    positive(row["RSA - it"]),
                )
            )
    found += [
        (
            "pass@1 approaches pass@N",
            "the gap closes",
            f"gap {shown(g['gap'][0])} → {shown(g['gap'][last])}; the last pass@1 less the first pass@N "
            f"{shown(g['last against pass@N of generation 0'], sign=True)}",
            "holds" if g["gap"][last]["mean"] < g["gap"][0]["mean"] / 2 else "does not hold",
        ),
        (
            "Diversity falls",
            "falls",
            f"entropy {g['entropy'][0]['mean']:.2f} → {g['entropy'][last]['mean']:.2f} bits, different answers "
            f"{g['distinct'][0]['mean']:.1f} → {g['distinct'][last]['mean']:.1f} of 16",
            positive(g["entropy lost"]),
        ),
    ]
    if "base" in claims:
        b = claims["base"]
        found.append(
            (
                "Training to aggregate helps under RSA",
                "yes; but an untrained chat model gains too",
                f"the untrained fly falls from {shown(b['pass@1'][0])} to {shown(b['pass@1'][-1])}; trained less "
                f"untrained {shown(b['fly - base'], sign=True)}",
                f"{positive(b['fly - base'])}; that an untrained model gains cannot be shown",
            )
        )
    return found


PAPER = {
    "majority voting": "on SuperGPQA voting is level (48.2 against 47.4), else it loses",
    "rejection sampling": "loses",
    "best by own verdicts": "not in the paper",
    "self-refinement": "loses (SuperGPQA 43.5)",
    "one-step aggregation": "loses",
}


def table(claims: dict[str, Any]) -> str:
    """The table and a line that says where it is from."""
    about = claims["about"]
    seeds = ", ".join(f"{name} {count}" for name, count in about["run seeds"].items())
    lines = ["| claim | the paper | the fly, 95 % intervals | verdict |", "|---|---|---|---|"]
    lines += [f"| {claim} | {paper} | {fly} | {verdict} |" for claim, paper, fly, verdict in rows(claims)]
    lines += [
        "",
        f"{about['problems']} held-out problems (`locks?size={about['problems']}&seed=101`), "
        f"{about['date']}, {about['cpu']}. Run seeds by arm: {seeds}.",
    ]
    return "\n".join(lines)


def insert(text: str, written: str) -> str:
    """A page with what stands between the marks replaced. Raises ValueError where it has no marks."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"the page lacks the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{written}\n{END}{after}"


def publish(claims: dict[str, Any], results: Path) -> None:
    """Put the table into README.md, table and pictures into docs/claims.md, and the pictures into docs/img."""
    pictures = [(name, said) for name, said in PICTURES.items() if (results / name).exists()]
    for name, _ in pictures:
        shutil.copyfile(results / name, DOCS / "img" / name)
    shown_there = "\n\n".join(f"![{said}](img/{name})" for name, said in pictures)
    for page, written in (
        (HERE / "README.md", table(claims)),
        (DOCS / "claims.md", f"{table(claims)}\n\n{shown_there}"),
    ):
        page.write_text(insert(page.read_text(), written))


PICTURES = {
    "claims_generations.png": "pass@1 and pass@N by generation; number of different answers and their entropy",
    "claims_parents.png": "pass@1 by generation for K from 1 to 8; what each larger K adds after 96 calls",
    "claims_populations.png": "pass@1 by generation for N from 4 to 64; entropy of the answers by generation",
    "claims_opponents.png": "Accuracy of RSA, voting and choosing by own verdicts, by calls and by tokens",
    "claims_limits.png": "RSA less best by own verdicts by calls and number of locks; the fly beside its base",
}
"""What is drawn, in the words of somebody who cannot see it."""
