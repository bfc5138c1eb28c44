"""``evolve-llm train``: reinforcement learning on a training set that ``evolve-llm train-data`` made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolve_llm.cli.console import console, print_json, say
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag
from evolve_llm.cli.tables import make_table, share

if TYPE_CHECKING:
    from evolve_llm.train.settings import TrainSettings


@reported
def train(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A folder made by train-data.", show_default=False)
    ],
    *,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="fly, fly-hard, a folder with a model, or a name on the hub.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The folder of the training.", show_default=False)
    ],
    recipe: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Settings: fly, rsa-rl, or a .toml file. (default: none)"),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting. Repeat for more.", show_default=False
        ),
    ] = None,
    algorithm: Annotated[
        str, typer.Option(metavar="rloo|grpo|verl", help="verl: write the command for a cluster.")
    ] = "rloo",
    adapter: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A LoRA adapter to go on from.", show_default=False)
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The templates that the run had, for populations.", show_default=False
        ),
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TRACKER",
            help="Log every step to a tracker, as run does. Repeatable.",
            show_default=False,
        ),
    ] = None,
    unsafe_local: Annotated[
        bool, typer.Option("--unsafe-local", help="Grade without a sandbox if none is available.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Train a model on standard and aggregation prompts, half of every batch each. Rewards come from our graders.

    With --set generations=2 (or 3) whole populations are evolved in every step, by the model that is trained.

    The same command goes on from the last checkpoint. Needs the extra "train" of the package.
    """
    from evolve_llm.nouns.errors import UserError
    from evolve_llm.train.settings import train_settings

    if algorithm not in ("rloo", "grpo", "verl"):
        raise UserError(f"--algorithm is rloo, grpo or verl, got {algorithm!r}")
    if recipe is None and algorithm == "verl":
        recipe = "rsa-rl"
    settings = train_settings(recipe, dict(_pair(one) for one in set_ or ()))
    if algorithm == "verl":
        _for_a_cluster(data, model, out, settings, json=json)
        return
    from evolve_llm.integrations.trackers.steps import StepTracking
    from evolve_llm.integrations.trackers.tracking import make_trackers
    from evolve_llm.train.training import train as begin

    about = {"algorithm": algorithm, "model": model, "data": str(data)}
    chosen = {name: value for name, value in settings.model_dump().items() if value is not None}
    tracking = StepTracking(
        make_trackers(track or ()), out, {**about, **chosen}, lambda text: say(f"warning: {text}")
    )

    def after(line: dict[str, Any]) -> None:
        if not json:
            say(_told(line, settings.steps))
        if track:
            tracking.note(line)

    complete = False
    try:
        done = begin(
            data,
            model,
            out,
            settings,
            algorithm="grpo" if algorithm == "grpo" else "rloo",
            adapter=adapter,
            prompts=prompts,
            unsafe_local=unsafe_local,
            on_step=after,
        )
        complete = True
    finally:
        tracking.end(complete=complete)
    if json:
        print_json(
            {"out": str(done.out), "steps": len(done.metrics), "last": done.metrics[-1], "use": done.hints}
        )
        return
    _print(done.metrics)
    say(f"trained: {done.out}")
    for hint in done.hints:
        say(f"use it: evolve-llm run {hint}")


def _for_a_cluster(data: Path, model: str, out: Path, settings: TrainSettings, *, json: bool) -> None:
    from evolve_llm.train.verl import SCRIPT, write_verl

    text = write_verl(data, model, out, settings)
    if json:
        print_json({"out": str(out), "script": text})
        return
    typer.echo(text, nl=False)
    say(f"written to {out}; start it on the cluster with: sh {out / SCRIPT}")


def _pair(text: str) -> tuple[str, Any]:
    from evolve_llm.nouns.errors import UserError

    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--set takes KEY=VALUE, got {text!r}")
    return name.strip(), None if value.strip() == "none" else value.strip()


def _told(line: dict[str, Any], steps: int) -> str:
    parts = [f"step {line['step']}/{steps}"]
    parts += [
        f"{kind} {share(line[f'reward/{kind}'])}"
        for kind in ("standard", "aggregation")
        if f"reward/{kind}" in line
    ]
    return ", ".join([*parts, f"entropy {line.get('entropy', 0.0):.3f}", f"{line['seconds']:.1f} s"])


def _print(metrics: list[dict[str, Any]]) -> None:
    table = make_table(
        [("steps", "right"), ("kind", "left"), ("reward", "right"), ("no variance", "right"), ("entropy", "right"),
         ("tokens", "right"), ("truncated", "right"), ("ungraded", "right")]
    )  # fmt: skip
    width = max(1, len(metrics) // 2)
    for some in (metrics[:width], metrics[-width:]):
        for kind in ("standard", "aggregation"):
            if not any(f"tokens/{kind}" in line for line in some):
                continue  # it was trained on the other kind alone
            names = ("reward", "zero_variance", "entropy", "tokens", "truncated", "ungraded")
            means = [_mean(some, f"{name}/{kind}") for name in names]
            table.add_row(
                f"{some[0]['step']}–{some[-1]['step']}", kind, *(share(one) for one in means[:3]), f"{means[3]:.1f}",
                *(share(one) for one in means[4:]),
            )  # fmt: skip
    console().print(table)


def _mean(lines: list[dict[str, Any]], name: str) -> float:
    values = [line[name] for line in lines if line.get(name) is not None]
    return sum(values) / len(values) if values else 0.0
