"""The data card: what is in a training set, by numbers, and which run it comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from evolve_llm.analysis.credit import curve, read_children
from evolve_llm.nouns.problem import Problem, problems_digest
from evolve_llm.train.rows import Row
from evolve_llm.train.source import Source

FORMAT = 1


def card(
    source: Source,
    rows: Mapping[str, Sequence[Row]],
    problems: Mapping[str, Sequence[Problem]],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """The card as plain data. No clock and no path in it: equal sets have equal cards."""
    return {
        "format": FORMAT,
        "evolve-llm": version("evolve-llm"),
        "run": source.provenance(),
        "settings": dict(settings),
        "splits": {
            name: {
                "problems": len(problems[name]),
                "problems_digest": problems_digest(problems[name]),
                **counted(rows[name]),
            }
            for name in rows
        },
        "run_curve": run_curve(source, problems["train"]),
    }


def counted(rows: Sequence[Row]) -> dict[str, Any]:
    """Counts and lengths of rows, by kind; groups by K, right candidates and generation."""
    kinds = {kind: [row for row in rows if row.kind == kind] for kind in ("standard", "aggregation")}
    groups = Counter((len(row.parents), sum(row.parents_right)) for row in kinds["aggregation"])
    return {
        "rows": len(rows),
        "kinds": {
            kind: {
                "rows": len(some),
                "problems": len({row.problem.id for row in some}),
                "characters": lengths([row.characters for row in some]),
                "tokens": lengths([row.prompt_tokens for row in some if row.prompt_tokens is not None]),
            }
            for kind, some in kinds.items()
        },
        "groups": [
            {"candidates": k, "right": right, "rows": count} for (k, right), count in sorted(groups.items())
        ],
        "generations": {
            str(generation): count
            for generation, count in sorted(
                Counter(row.generation for row in kinds["aggregation"]).items(), key=str
            )
        },
    }


def lengths(values: Sequence[int]) -> dict[str, int] | None:
    """The shortest, the middle and the longest; None of nothing."""
    ordered = sorted(values)
    return {"min": ordered[0], "median": ordered[len(ordered) // 2], "max": ordered[-1]} if ordered else None


def run_curve(source: Source, problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """How often a child of the run was right, by its right parents: what the reference does with such prompts.

    Training problems alone: nothing of the test side may be learnt from a card.
    """
    known = {one.id for one in problems}
    children, _ = read_children([source.run])
    return [
        {
            "candidates": point.parents,
            "right": point.right_parents,
            "child_right": round(point.share.right, 4),
            "children": point.share.children,
            "problems": point.share.problems,
        }
        for point in curve([one for one in children if one.problem in known])
    ]


def page(card: Mapping[str, Any]) -> str:
    """The card as the README of a folder that the library datasets can load."""
    run, settings, splits = card["run"], card["settings"], card["splits"]
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for name in splits:
        if splits[name]["rows"]:
            lines += [f"  - split: {name}", f"    path: data/{name}.jsonl"]
    ks, generations = _listed(settings["k"]), _listed(settings["generations"])
    kept = "right and wrong ones among them" if settings["filter"] == "mixed" else "any"
    lines += [
        "---",
        "",
        "# A training set for aggregation",
        "",
        f"Standard and aggregation prompts, half and half, from a run of `{run['model']}` with the preset "
        f"`{run['preset']}` (seed {run['seed']}, configuration {run['run']}, database {run['sha256'][:16]}). An "
        f"aggregation prompt shows {ks} candidates of one generation ({generations}), drawn uniformly without "
        f"replacement ({kept}). Made by evolve-llm {card['evolve-llm']} with the seed {settings['seed']}.",
        "",
        f"{card['checked']['prompts_equal_to_the_run']:,} prompts of the run were made again, and each was the one "
        "that its model had been asked. No problem is on both sides, and no reference is in a prompt.",
        "",
        "| split | kind | rows | problems | characters (min, median, max) | tokens |",
        "|---|---|---|---|---|---|",
    ]
    for name, split in splits.items():
        for kind, some in split["kinds"].items():
            lines.append(
                f"| {name} | {kind} | {some['rows']:,} | {some['problems']:,} | {_range(some['characters'])} "
                f"| {_range(some['tokens'])} |"
            )
    lines += ["", "| candidates | right among them | training rows | child right in the run | children |",
              "|---|---|---|---|---|"]  # fmt: skip
    asked = {(one["candidates"], one["right"]): one["rows"] for one in splits["train"]["groups"]}
    known = {(one["candidates"], one["right"]): one for one in card["run_curve"]}
    for key in sorted({*asked, *known}):
        point = known.get(key)
        right = f"{point['child_right']:.2f}" if point else "-"
        children = f"{point['children']:,}" if point else "-"
        lines.append(f"| {key[0]} | {key[1]} | {asked.get(key, 0):,} | {right} | {children} |")
    return "\n".join([*lines, ""])


def _listed(values: Sequence[int]) -> str:
    return " or ".join(map(str, values))


def _range(found: Mapping[str, int] | None) -> str:
    return "-" if found is None else f"{found['min']:,}, {found['median']:,}, {found['max']:,}"
