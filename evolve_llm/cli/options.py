"""The flags that ``run``, ``plan`` and ``ask`` share, each written once."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, get_type_hints

import typer

FLY = "fly"
"""The tiny model that ships, and the preset sized for it."""
FLIES = {
    engine + name: problems
    for engine in ("", "vllm:")
    for name, problems in ((FLY, "locks"), ("fly-hard", "locks?laziness=0.5"))
}
"""Each fly that ships, in either engine, and the problems it was made for."""

_SCHEME, _MODEL, _RUN = "What is evolved", "The model", "The run"


@dataclass(frozen=True, kw_only=True)
class EvolutionFlags:
    """The flags that say how to evolve. Each field is a flag."""

    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME|FILE",
                     help="A built-in preset, or a TOML file. (default: fly for the models fly and "
                          "fly-hard, otherwise smoke)",
                     rich_help_panel=_SCHEME),
    ] = None  # fmt: skip
    population: Annotated[
        int | None, typer.Option(help="N, the number of candidates in a generation.", rich_help_panel=_SCHEME)
    ] = None
    parents: Annotated[
        int | None, typer.Option(help="K, the number of parents of a child.", rich_help_panel=_SCHEME)
    ] = None
    generations: Annotated[
        int | None,
        typer.Option(
            help="T, the number of generations, including the first one, which is sampled.",
            rich_help_panel=_SCHEME,
        ),
    ] = None
    max_tokens: Annotated[
        int | None, typer.Option(help="The longest completion, in tokens.", rich_help_panel=_SCHEME)
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any other setting. Repeatable. KEY is a preset's key with dots "
            "(sampling.temperature=0.7, evaluate=agreement, select.tournsize=3), engine.KEY for the "
            "model, or problems.KEY for the problem set. VALUE is read as TOML.",
            rich_help_panel=_SCHEME,
        ),
    ] = None
    prompts: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder of prompt templates that replace the built-in ones.",
                     rich_help_panel=_SCHEME),
    ] = None  # fmt: skip
    model: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="The model: fly or fly-hard (tiny, for locks only), local (small, embedded), llama_cpp:FILE.gguf, "
            "vllm:NAME, openai:NAME or scripted (no model at all). (default: fly for locks, or if "
            "neither problems nor a preset are given, otherwise local)",
            rich_help_panel=_MODEL,
        ),
    ] = None
    base_url: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="The server of openai:NAME. Repeatable, for several servers of "
                                         "one model.",
                     rich_help_panel=_MODEL),
    ] = None  # fmt: skip
    concurrency: Annotated[
        int | None, typer.Option(help="The largest number of requests in flight. (default: as many as the "
                                      "model takes)",
                                 rich_help_panel=_MODEL),
    ] = None  # fmt: skip
    cache: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Record the model's answers in this file, and never pay twice "
                                          "for one.",
                     rich_help_panel=_MODEL),
    ] = None  # fmt: skip
    budget_tokens: Annotated[
        int | None,
        typer.Option(help="Stop once the whole run has used this many prompt and completion tokens.",
                     rich_help_panel=_RUN),
    ] = None  # fmt: skip
    seed: Annotated[
        int, typer.Option(help="The seed from which every random choice follows.", rich_help_panel=_RUN)
    ] = 0
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run directory. (default: a folder in runs/, named after the "
                                         "configuration)",
                     rich_help_panel=_RUN),
    ] = None  # fmt: skip
    unsafe_local: Annotated[
        bool,
        typer.Option("--unsafe-local", help="Grade without a sandbox if none is available.",
                     rich_help_panel=_RUN),
    ] = False  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RunFlags(EvolutionFlags):
    """The flags that say how to evolve and which problems."""

    problems: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="A problem set (see: list problems) or a .jsonl, .csv or .parquet file. (default: locks "
            "for the model fly, locks?laziness=0.5 for fly-hard, otherwise reasoning_gym:chain_sum)",
        ),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(help="Use only the first N problems. (default: all of them; of the default problems, "
                          "12 locks or 4 sums)"),
    ] = None  # fmt: skip


P = ParamSpec("P")
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def takes_run_flags(command: Callable[Concatenate[RunFlags, P], None]) -> Callable[..., None]:
    """Give a command the flags of RunFlags; it receives them as its first argument."""
    return _spread(command, RunFlags)


def takes_evolution_flags(command: Callable[Concatenate[EvolutionFlags, P], None]) -> Callable[..., None]:
    """Give a command the flags of EvolutionFlags; it receives them as its first argument."""
    return _spread(command, EvolutionFlags)


def _spread(command: Callable[..., None], flags: type[EvolutionFlags]) -> Callable[..., None]:
    hints = get_type_hints(flags, include_extras=True)
    names = [field.name for field in dataclasses.fields(flags)]
    names.sort(key=lambda name: name not in ("problems", "limit"))
    shared = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=getattr(flags, name), annotation=hints[name]
        )
        for name in names
    ]
    own_hints = get_type_hints(command, include_extras=True)
    own = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=own_hints[one.name])
        for one in list(inspect.signature(command).parameters.values())[1:]
    ]

    def spread(**given: Any) -> None:
        chosen = flags(**{name: given.pop(name) for name in names})
        command(chosen, **given)

    signature = inspect.Signature([*[one for one in own if one.default is one.empty], *shared,
                                   *[one for one in own if one.default is not one.empty]])  # fmt: skip
    spread.__name__, spread.__doc__ = command.__name__, command.__doc__
    spread.__signature__ = signature  # type: ignore[attr-defined]
    spread.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
    return spread
