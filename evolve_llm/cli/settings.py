"""From flags to a Session: reads ``--set`` and gives each setting to whom it belongs."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from evolve_llm.cli.console import say
from evolve_llm.cli.options import FLIES, FLY, EvolutionFlags, RunFlags
from evolve_llm.nouns.errors import UserError

if TYPE_CHECKING:
    from evolve_llm.nouns.problem import Problem
    from evolve_llm.session.session import Session

_FLAG_KEYS = {
    "population": "population",
    "parents": "parents",
    "generations": "generations",
    "max_tokens": "sampling.max_tokens",
}


@dataclass
class Settings:
    """``--set`` sorted by receiver: the preset, the backend's factory, the problem set."""

    preset: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, Any] = field(default_factory=dict)


def read_settings(pairs: Sequence[str]) -> Settings:
    """Raises UserError for anything that is not KEY=VALUE and for a key that is set twice."""
    from evolve_llm.scheme.problem_sets import scalar

    settings = Settings()
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip()
        if not equals or not all(key.split(".")):
            raise UserError(f"--set {pair}: write KEY=VALUE, for example --set sampling.temperature=0.7")
        receiver, rest = settings.preset, key
        for name, other in (("engine", settings.engine), ("problems", settings.problems)):
            if key == name:
                raise UserError(f"--set {pair}: write --set {name}.KEY=VALUE")
            if key.startswith(f"{name}."):
                receiver, rest = other, key.partition(".")[2]
        if rest in receiver:
            raise UserError(f"--set {key} is given twice")
        receiver[rest] = scalar(value.strip())
    return settings


@contextlib.contextmanager
def warnings_said() -> Iterator[None]:
    """What the body warns a user of goes to standard error in one line, once; other warnings go their way."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    mine = dict.fromkeys(str(one.message) for one in caught if one.category is UserWarning)
    for message in mine:
        say(f"warning: {message}")
    for one in caught:
        if one.category is not UserWarning:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def session_for(flags: EvolutionFlags, problems: str | Sequence[Problem], limit: int | None,
                *, finish: str | None = None) -> Session:  # fmt: skip
    """The session these flags ask for, checked; nothing is opened and no token spent.

    ``finish`` replaces a finish by random choice that nobody asked for. Raises UserError.
    """
    from evolve_llm.scheme.preset import load_preset
    from evolve_llm.session.session import Session

    settings = read_settings(flags.set_ or [])
    for name, key in _FLAG_KEYS.items():
        value = getattr(flags, name)
        if value is None:
            continue
        if key in settings.preset:
            raise UserError(f"--{name.replace('_', '-')} and --set {key} say the same thing; leave one out")
        settings.preset[key] = value
    if flags.base_url:
        if "base_url" in settings.engine:
            raise UserError("--base-url and --set engine.base_url say the same thing; leave one out")
        settings.engine["base_url"] = ",".join(flags.base_url)
    model = flags.model or "local"
    preset = load_preset(flags.preset or (FLY if model in FLIES else "smoke"))
    chosen = any(key.partition(".")[0] == "finish" for key in settings.preset)
    if finish is not None and not chosen and preset.finish.operator == "random":
        settings.preset["finish"] = finish
    with warnings_said():
        return Session(
            problems,
            preset,
            model,
            seed=flags.seed,
            out=flags.out,
            limit=limit,
            problem_options=settings.problems or None,
            overrides=settings.preset,
            engine=settings.engine or None,
            prompts=flags.prompts,
            cache=flags.cache,
            concurrency=flags.concurrency,
            budget_tokens=flags.budget_tokens,
            unsafe_local=flags.unsafe_local,
        )


def run_session(flags: RunFlags) -> Session:
    """The session of ``run`` and ``plan``."""
    full = with_defaults(flags)
    assert full.problems is not None
    return session_for(full, full.problems, full.limit)


def is_bare(flags: RunFlags) -> bool:
    """Whether it is left to us what is run: neither problems nor preset nor model are given."""
    return flags.problems is None and flags.preset is None and flags.model is None


def with_defaults(flags: RunFlags) -> RunFlags:
    """Defaults that go together: the fly, its locks and its preset where nothing else is asked for, else the
    embedded model, and sums where no problems are given."""
    locks = flags.problems is not None and flags.problems.partition("?")[0].partition(":")[0] == "locks"
    bare = flags.problems is None and flags.preset is None
    model = flags.model or (FLY if locks or bare else "local")
    problems, limit = flags.problems, flags.limit
    if problems is None:
        problems, few = (FLIES[model], 12) if model in FLIES else ("reasoning_gym:chain_sum", 4)
        limit = few if limit is None else limit
    return replace(flags, model=model, problems=problems, limit=limit)
