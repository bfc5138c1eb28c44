"""``evolve-llm train-data``: from a finished run of a reference model to a training set for aggregation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from evolve_llm.cli.console import console, print_json, say
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag
from evolve_llm.cli.show import RunArgument
from evolve_llm.cli.tables import make_table, share, styled


@reported
def train_data(
    path: RunArgument,
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to make.", show_default=False)],
    generations: Annotated[
        str, typer.Option(metavar="G,G,…", help="The generations that candidates are taken from.")
    ] = "0",
    k: Annotated[
        str | None,
        typer.Option(metavar="K,K,…", help="The numbers of candidates in a prompt. (default: the preset's)"),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(metavar="N", help="Training rows, half of them standard. (default: two a problem)"),
    ] = None,
    most: Annotated[int, typer.Option(metavar="N", help="Aggregation prompts of one problem, at most.")] = 8,
    filter: Annotated[
        str,
        typer.Option(
            metavar="mixed|none", help="mixed: only groups that are neither all right nor all wrong."
        ),
    ] = "mixed",
    test_share: Annotated[
        float, typer.Option(metavar="SHARE", help="The share of the problems that is kept for testing.")
    ] = 0.1,
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC|RUN",
            help="Problems that must not be trained on. Repeat for more.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="The run's model, to count tokens. (default: estimated high)"),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The preset whose prompts are wanted. (default: the run's)"),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The run's folder of templates.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The seed of every draw.")] = 0,
    format: Annotated[str, typer.Option(metavar="FORM,…", help="What is written.")] = "jsonl,datasets,verl",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing training set.")] = False,
    json: JsonFlag = False,
) -> None:
    """Make a training set from a finished run: standard and aggregation prompts, half and half.

    The prompts are those of the run itself, and no reference is in them. Train with evolve-llm train.
    """
    from evolve_llm.nouns.errors import UserError
    from evolve_llm.train.dataset import Recipe, training_set
    from evolve_llm.train.formats import write
    from evolve_llm.train.groups import Drawing

    if filter not in ("mixed", "none"):
        raise UserError(f"--filter is mixed or none, got {filter!r}")
    drawing = Drawing(
        _numbers("--generations", generations),
        () if k is None else _numbers("--k", k),
        "none" if filter == "none" else "mixed",
    )
    recipe = Recipe(drawing, rows, most, test_share, tuple(test or ()), seed, preset, prompts, model)
    if out.exists() and not force:
        raise UserError(f"{out} already exists; give another --out, or --force to replace it")
    made = training_set(path, recipe)
    write(made, out, [one.strip() for one in format.split(",") if one.strip()], overwrite=force)
    if json:
        print_json(made.card)
    else:
        _print(made.card)
    say(f"written to {out}")


def _numbers(flag: str, text: str) -> tuple[int, ...]:
    from evolve_llm.nouns.errors import UserError

    try:
        return tuple(int(one) for one in text.split(","))
    except ValueError:
        raise UserError(f"{flag} takes numbers separated by commas, such as 0,1,2, got {text!r}") from None


def _print(card: dict[str, Any]) -> None:
    out = console()
    table = make_table(
        [
            ("split", "left"),
            ("kind", "left"),
            ("rows", "right"),
            ("problems", "right"),
            ("longest prompt", "right"),
        ]
    )
    for name, split in card["splits"].items():
        for kind, some in split["kinds"].items():
            longest = "-"
            if some["tokens"] is not None:
                longest = f"{some['tokens']['max']:,} tokens"
            elif some["characters"] is not None:
                longest = f"{some['characters']['max']:,} characters"
            table.add_row(name, kind, f"{some['rows']:,}", f"{some['problems']:,}", longest)
    out.print(table)
    out.print(styled("\nTraining groups by their right candidates, and what the run made of such", "bold"))
    table = make_table(
        [(name, "right") for name in ("candidates", "right", "rows", "child right", "children")]
    )
    known = {(one["candidates"], one["right"]): one for one in card["run_curve"]}
    for group in card["splits"]["train"]["groups"]:
        point = known.get((group["candidates"], group["right"]))
        table.add_row(
            str(group["candidates"]), str(group["right"]), f"{group['rows']:,}",
            share(point["child_right"]) if point else "-", f"{point['children']:,}" if point else "-",
        )  # fmt: skip
    out.print(table)
    checked = card["checked"]["prompts_equal_to_the_run"]
    out.print(
        styled(
            f"\n{checked:,} prompts of the run were made again, and all are equal to what its model was asked"
        ),
        soft_wrap=True,
    )
