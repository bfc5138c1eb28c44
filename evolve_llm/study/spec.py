"""The study file: TOML to frozen dataclasses, every arm checked by name before anything runs."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from evolve_llm.basics.nearest import did_you_mean
from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.preset import Preset, load_preset

_STUDY = (
    "name",
    "problems",
    "model",
    "seeds",
    "limit",
    "budget_tokens",
    "spread",
    "engine",
    "factors",
    "arms",
)
_ARM = ("name", "preset", "set", "expect", "null")
_DIRECTIONS = ("+", "-", "0", "?")


@dataclass(frozen=True)
class Arm:
    """One scheme at one level of every factor. ``expect``: the direction against the baseline, said beforehand.

    ``null`` arms have a true difference of 0: a check, outside the correction.
    """

    name: str
    scheme: str
    levels: Mapping[str, Any]
    preset: Preset
    expect: str
    null: bool

    def plain(self) -> dict[str, Any]:
        """As plain data: what may not change once results exist."""
        return {"preset": self.preset.plain(), "expect": self.expect, "null": self.null}


@dataclass(frozen=True)
class Study:
    """A study as its file says it. The first arm of each level is the baseline of that level.

    ``budget_tokens`` bounds what the model is paid for over the whole study; ``spread`` is the standard deviation of
    the paired difference over problems, as stated.
    """

    name: str
    problems: str
    model: str
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    limit: int | None = None
    budget_tokens: int | None = None
    spread: float | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)

    def contrasts(self) -> list[tuple[Arm, Arm]]:
        """(baseline, arm) for every comparison of the study.

        Arms are compared with the first arm at the same levels of the factors. A study of one arm with factors
        compares its first level with the others.
        """
        schemes = {one.scheme for one in self.arms}
        if len(schemes) == 1:
            return [(self.arms[0], one) for one in self.arms[1:]]
        first: dict[tuple[Any, ...], Arm] = {}
        found = []
        for one in self.arms:
            levels = tuple(one.levels.items())
            if levels in first:
                found.append((first[levels], one))
            else:
                first[levels] = one
        return found


def read_study(path: Path, limit: int | None = None) -> Study:
    """Read and check a study file. ``limit`` goes before the file's own.

    Raises UserError, with the arm's name where it is an arm's fault.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"no such study file: {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"the study file {path} cannot be read: {error}") from error
    _known(data, _STUDY, str(path))
    for key, kind in (("name", str), ("problems", str), ("arms", list)):
        if not isinstance(data.get(key), kind) or not data[key]:
            raise UserError(f"{path}: {key} is required, as a {'list of tables' if kind is list else 'text'}")
    seeds = data.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or not all(_whole(one, 0) for one in seeds):
        raise UserError(f"{path}: seeds must be a list of whole numbers, got {seeds!r}")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"{path}: a seed is listed twice: {seeds}")
    for key in ("limit", "budget_tokens"):
        if key in data and not _whole(data[key], 1):
            raise UserError(f"{path}: {key} must be a whole number of at least 1, got {data[key]!r}")
    spread = data.get("spread")
    if spread is not None and not (isinstance(spread, int | float) and 0 < spread <= 1):
        raise UserError(f"{path}: spread must lie between 0 and 1, got {spread!r}")
    for key in ("factors", "engine"):
        if not isinstance(data.get(key, {}), dict):
            raise UserError(f"{path}: {key} must be a table, got {data[key]!r}")
    arms = tuple(arm for one in data["arms"] for arm in _cells(one, data.get("factors", {}), str(path)))
    names = [one.name for one in arms]
    if twice := next((one for one in names if names.count(one) > 1), None):
        raise UserError(f"{path}: two arms are called {twice!r}")
    if len(arms) < 2:
        raise UserError(f"{path}: a study compares at least two arms, and there is one")
    return Study(
        data["name"], data["problems"], data.get("model", "local"), tuple(sorted(seeds)), arms,
        limit if limit is not None else data.get("limit"), data.get("budget_tokens"), spread, data.get("engine", {}),
    )  # fmt: skip


def _cells(data: Any, factors: Mapping[str, Any], origin: str) -> Iterable[Arm]:
    """An arm at every level of the factors. Raises UserError for one that makes no preset."""
    if not isinstance(data, Mapping):
        raise UserError(f"{origin}: write every arm as a table [[arms]]")
    name = data.get("name")
    if not isinstance(name, str) or not name:
        raise UserError(f"{origin}: every arm needs a name")
    _known(data, _ARM, f"{origin}: arm {name!r}")
    expect, changes = data.get("expect", "?"), data.get("set", {})
    if expect not in _DIRECTIONS:
        raise UserError(f'{origin}: arm {name!r}: expect must be "+", "-", "0" or "?", got {expect!r}')
    if not isinstance(changes, Mapping):
        raise UserError(f"{origin}: arm {name!r}: set must be a table of settings")
    for key, levels in factors.items():
        if not isinstance(levels, list) or not levels:
            raise UserError(f"{origin}: factor {key!r} must be a list of levels, got {levels!r}")
        if key in changes:
            raise UserError(f"{origin}: arm {name!r} sets {key!r}, which is a factor of the study")
    base = load_preset(data.get("preset", "rsa"))
    for levels in itertools.product(*factors.values()):
        at = dict(zip(factors, levels, strict=True))
        cell = name + "".join(f", {key}={value}" for key, value in at.items())
        try:
            preset = base.override({**changes, **at}, f"arm {cell!r}")
        except UserError as error:
            raise UserError(f"{origin}: arm {cell!r} cannot be run: {error}") from None
        yield Arm(cell, name, at, preset, cast(str, expect), bool(data.get("null", False)))


def _known(data: Mapping[str, Any], keys: tuple[str, ...], origin: str) -> None:
    for key in data:
        if key not in keys:
            raise UserError(
                f"{origin}: there is no key {key!r}.{did_you_mean(key, keys)} Keys: {', '.join(keys)}"
            )


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
