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
FLIES = (FLY, "vllm:fly")
"""The fly, in either engine."""
"""The tiny model that ships, the preset sized for it, and, of ``locks``, the problems it was made for."""

_SCHEME, _MODEL, _RUN = "What is evolved", "The model", "The run"


@dataclass(frozen=True, kw_only=True)
class EvolutionFlags:
    """How to evolve; the fields are the flags."""

    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME|FILE",
                     help="A built-in preset, or a TOML file. (default: fly with the model fly, else smoke)",
                     rich_help_panel=_SCHEME),
    ] = None  # fmt: skip
    population: Annotated[
        int | None, typer.Option(help="N, candidates a generation.", rich_help_panel=_SCHEME)
    ] = None
    parents: Annotated[int | None, typer.Option(help="K, parents a child.", rich_help_panel=_SCHEME)] = None
    generations: Annotated[
        int | None,
        typer.Option(help="T, generations, counting the first sampled one.", rich_help_panel=_SCHEME),
    ] = None
    max_tokens: Annotated[
        int | None, typer.Option(help="Longest completion in tokens.", rich_help_panel=_SCHEME)
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any other setting, repeatable: a preset's key with dots (sampling.temperature=0.7, "
            "evaluate=agreement, select.tournsize=3), engine.KEY for the model, problems.KEY for the "
            "problem set. Values are read as TOML.",
            rich_help_panel=_SCHEME,
        ),
    ] = None
    prompts: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Prompt templates that go before the built-in ones.",
                     rich_help_panel=_SCHEME),
    ] = None  # fmt: skip
    model: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="fly (tiny, for locks only), local (small, embedded), llama_cpp:FILE.gguf, vllm:NAME, openai:NAME, "
            "scripted (no model at all). (default: fly for locks, and where neither problems nor preset are given; "
            "else local)",
            rich_help_panel=_MODEL,
        ),
    ] = None
    base_url: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Where openai:NAME is served; repeatable, for several servers of one model.",
                     rich_help_panel=_MODEL),
    ] = None  # fmt: skip
    concurrency: Annotated[
        int | None, typer.Option(help="Requests in flight at most. (default: as many as the model takes)",
                                 rich_help_panel=_MODEL),
    ] = None  # fmt: skip
    cache: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Record answers here and never pay twice for one.",
                     rich_help_panel=_MODEL),
    ] = None  # fmt: skip
    budget_tokens: Annotated[
        int | None,
        typer.Option(help="Stop after so many prompt and completion tokens of the whole run.",
                     rich_help_panel=_RUN),
    ] = None  # fmt: skip
    seed: Annotated[int, typer.Option(help="Every random choice follows from it.", rich_help_panel=_RUN)] = 0
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run directory. (default: in runs/, named by the configuration)",
                     rich_help_panel=_RUN),
    ] = None  # fmt: skip
    unsafe_local: Annotated[
        bool,
        typer.Option("--unsafe-local", help="Grade without a sandbox where none can be had.",
                     rich_help_panel=_RUN),
    ] = False  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RunFlags(EvolutionFlags):
    """How to evolve, and which problems."""

    problems: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="A problem set (see: list problems) or a .jsonl, .csv or .parquet file. "
            "(default: locks with the model fly, else reasoning_gym:chain_sum)",
        ),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(help="Only the first so many. (default: all; of the default problems 12 locks or 4 sums)"),
    ] = None  # fmt: skip


P = ParamSpec("P")
JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


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
