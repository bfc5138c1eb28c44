"""The study file: TOML to frozen dataclasses, every arm checked by name before anything runs."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from evolve_llm.analysis.pairing import Metric
from evolve_llm.basics.nearest import did_you_mean
from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.preset import Preset, load_preset

_STUDY = (
    *("name", "problems", "model", "seeds", "limit", "budget_tokens", "spread", "pilot", "engine"),
    *("quoted", "correction", "stopping", "factors", "arms"),
)
_ARM = ("name", "preset", "set", "expect", "null")
_STOPPING = ("look", "halving")
_DIRECTIONS = ("+", "-", "0", "?")
_METRICS = ("pass@1", "majority", "answer")
_CORRECTIONS = ("holm", "none")


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
class Where:
    """A set of problems with the model that is asked: every arm runs in each such place, and is compared there."""

    problems: str
    model: str

    @property
    def name(self) -> str:
        """Both, for people."""
        return f"{self.problems} on {self.model}"


@dataclass(frozen=True)
class Quoted:
    """A number that will be quoted. ``moment``: ``end``, ``equal tokens``, or the number of a generation."""

    metric: Metric
    moment: str | int

    def __str__(self) -> str:
        if isinstance(self.moment, int):
            return f"{self.metric} after generation {self.moment}"
        return f"{self.metric} at {'the end' if self.moment == 'end' else self.moment}"


@dataclass(frozen=True)
class Stopping:
    """Looks after every ``look`` problems, with intervals that allow for them: an arm ends once it is settled.

    With ``halving`` the looks come at ``look``, twice as many problems, four times as many and so on, and the worse
    half of the arms that still run ends at each, settled or not.
    """

    look: int
    halving: bool = False

    def looks(self, problems: int) -> list[int]:
        """After how many problems is looked, the last of them all."""
        found, here = [], self.look
        while here < problems:
            found.append(here)
            here += here if self.halving else self.look
        return [*found, problems]


@dataclass(frozen=True)
class Study:
    """A study as its file says it. The first arm of each level is the baseline of that level.

    ``budget_tokens`` bounds what the model is paid for over the whole study; ``spread`` is the standard deviation of
    the paired difference over problems, as stated; ``pilot`` names other problems, on which it can be measured.
    """

    name: str
    places: tuple[Where, ...]
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    quoted: tuple[Quoted, ...] = (Quoted("pass@1", "end"),)
    correction: str = "holm"
    stopping: Stopping | None = None
    limit: int | None = None
    budget_tokens: int | None = None
    spread: float | None = None
    pilot: str | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)

    def contrasts(self) -> list[tuple[Arm, Arm]]:
        """(baseline, arm) for every comparison of the study, in each place.

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

    @property
    def tests(self) -> int:
        """How many differences are quoted and corrected for: those of arms that are no null arms."""
        return sum(not arm.null for _, arm in self.contrasts()) * len(self.places) * len(self.quoted)


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
    origin = str(path)
    _known(data, _STUDY, origin)
    if not isinstance(data.get("name"), str) or not data["name"]:
        raise UserError(f"{origin}: name is required, as text")
    if not isinstance(data.get("arms"), list) or not data["arms"]:
        raise UserError(f"{origin}: arms is required, as list of tables")
    _check_numbers(data, origin)
    for key in ("factors", "engine"):
        if not isinstance(data.get(key, {}), dict):
            raise UserError(f"{origin}: {key} must be a table, got {data[key]!r}")
    correction = data.get("correction", "holm")
    if correction not in _CORRECTIONS:
        raise UserError(f"{origin}: correction must be one of {', '.join(_CORRECTIONS)}, got {correction!r}")
    arms = tuple(arm for one in data["arms"] for arm in _cells(one, data.get("factors", {}), origin))
    names = [one.name for one in arms]
    if twice := next((one for one in names if names.count(one) > 1), None):
        raise UserError(f"{origin}: two arms are called {twice!r}")
    if len(arms) < 2:
        raise UserError(f"{origin}: a study compares at least two arms, and there is one")
    models = _texts(data.get("model", "local"), "model", origin)
    places = tuple(
        Where(one, model) for model in models for one in _texts(data.get("problems"), "problems", origin)
    )
    quoted = _quoted(data.get("quoted", [{}]), arms, origin)
    return Study(
        data["name"], places, tuple(sorted(data.get("seeds", [0]))), arms, quoted, correction,
        _stopping(data.get("stopping"), quoted[0], origin), limit if limit is not None else data.get("limit"),
        data.get("budget_tokens"), data.get("spread"), data.get("pilot"), data.get("engine", {}),
    )  # fmt: skip


def _check_numbers(data: Mapping[str, Any], origin: str) -> None:
    seeds = data.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or not all(_whole(one, 0) for one in seeds):
        raise UserError(f"{origin}: seeds must be a list of whole numbers, got {seeds!r}")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"{origin}: a seed is listed twice: {seeds}")
    for key in ("limit", "budget_tokens"):
        if key in data and not _whole(data[key], 1):
            raise UserError(f"{origin}: {key} must be a whole number of at least 1, got {data[key]!r}")
    spread = data.get("spread")
    if spread is not None and not (isinstance(spread, int | float) and 0 < spread <= 1):
        raise UserError(f"{origin}: spread must lie between 0 and 1, got {spread!r}")
    if not isinstance(data.get("pilot", ""), str):
        raise UserError(f"{origin}: pilot must name a problem set, got {data['pilot']!r}")


def _texts(value: Any, key: str, origin: str) -> list[str]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found or not all(isinstance(one, str) and one for one in found):
        raise UserError(f"{origin}: {key} is required, as text or a list of texts")
    if twice := next((one for one in found if found.count(one) > 1), None):
        raise UserError(f"{origin}: {key} lists {twice!r} twice")
    return found


def _quoted(data: Any, arms: Iterable[Arm], origin: str) -> tuple[Quoted, ...]:
    """The numbers that will be quoted. Raises UserError for one that no run of some arm has."""
    if not isinstance(data, list) or not data or not all(isinstance(one, Mapping) for one in data):
        raise UserError(
            f'{origin}: quoted must be a list of tables such as {{ metric = "pass@1", moment = "end" }}'
        )
    found = []
    for one in data:
        _known(one, ("metric", "moment"), f"{origin}: quoted")
        metric, moment = one.get("metric", "pass@1"), one.get("moment", "end")
        if metric not in _METRICS:
            raise UserError(f"{origin}: quoted: metric must be one of {', '.join(_METRICS)}, got {metric!r}")
        if moment not in ("end", "equal tokens") and not _whole(moment, 0):
            raise UserError(
                f'{origin}: quoted: moment must be "end", "equal tokens" or the number of a generation, got {moment!r}'
            )
        if metric == "answer" and moment != "end":
            raise UserError(
                f"{origin}: quoted: a run gives its answer at the end, so moment cannot be {moment!r}"
            )
        if isinstance(moment, int):
            for arm in arms:
                if arm.preset.generations <= moment:
                    raise UserError(f"{origin}: quoted: arm {arm.name!r} has no generation {moment}")
        found.append(Quoted(cast(Metric, metric), moment))
    if len(set(found)) < len(found):
        raise UserError(f"{origin}: quoted lists a number twice")
    return tuple(found)


def _stopping(data: Any, first: Quoted, origin: str) -> Stopping | None:
    if data is None:
        return None
    if not isinstance(data, Mapping):
        raise UserError(f"{origin}: stopping must be a table such as {{ look = 20 }}")
    _known(data, _STOPPING, f"{origin}: stopping")
    look, halving = data.get("look"), data.get("halving", False)
    if not _whole(look, 2):
        raise UserError(
            f"{origin}: stopping: look must be a whole number of problems, at least 2, got {look!r}"
        )
    if not isinstance(halving, bool):
        raise UserError(f"{origin}: stopping: halving must be true or false, got {halving!r}")
    if first.moment == "equal tokens":
        raise UserError(
            f"{origin}: stopping looks at the first of quoted, whose moment is equal tokens: which generations those "
            "are is known only at the end. Quote another moment first"
        )
    return Stopping(cast(int, look), halving)


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
    try:
        base = load_preset(data.get("preset", "rsa"))
    except UserError as error:
        raise UserError(f"{origin}: arm {name!r} cannot be run: {error}") from None
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
