"""From ``--problems SPEC`` to a checked list of problems.

    SPEC   = SET ["+" SET ...]
    SET    = NAME [":" ARGUMENT] ["?" KEY "=" VALUE ("&" KEY "=" VALUE)*]
           | PATH ["?" ...]              a .jsonl, .json, .csv, .tsv or .parquet file

A problem set plugs in by an entry point of the group ``evolve_llm.problems`` that names a callable
``loader(argument: str = "", **options) -> Iterable[Problem]``. Its keyword parameters are its options,
their annotations the types that are checked; a ``**config`` parameter takes any option.
"""

from __future__ import annotations

import inspect
import itertools
import json
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evolve_llm.basics.nearest import did_you_mean
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme import registry

FILE_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")

Loader = Callable[..., Iterable[Problem]]


@dataclass(frozen=True)
class ProblemSpec:
    """One parsed SET: the plug-in's name, its argument, and its options as written (not yet checked)."""

    name: str
    argument: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


def load_problems(
    spec: str, *, options: Mapping[str, Any] | None = None, limit: int | None = None
) -> list[Problem]:
    """Load the problems that a SPEC names, in order.

    Args:
        spec: A problem set as on the command line, for example ``sums.jsonl`` or ``rg_games?size=20``.
        options: Options as Python values, for a SPEC of one set. They win over those written in the SPEC.
        limit: The largest number of problems. Sets that draw lazily draw no more than that.

    Returns:
        The problems, at least one.

    Raises:
        UserError: The set or an option is unknown, a value has the wrong type, the set cannot be read or is
            empty, two problems have one id, the limit is below 1, or no run could use a problem.
    """
    if limit is not None and limit < 1:
        raise UserError(f"the limit must be at least 1, got {limit}")
    parts = parse_spec(spec)
    if options and len(parts) > 1:
        raise UserError(
            f"options can be given for one problem set only, but {spec!r} joins {len(parts)} of them"
        )
    drawn = itertools.chain.from_iterable(_load(part, options or {}) for part in parts)
    problems = list(itertools.islice(drawn, limit))
    if not problems:
        raise UserError(f"the problem set {spec!r} holds no problems")
    check_problems(problems, repr(spec))
    return problems


def parse_spec(spec: str) -> list[ProblemSpec]:
    """The sets of a SPEC. A ``+`` joins two sets only where a known name or an existing file follows it.

    Raises UserError for an empty SPEC, an unknown name and options that are not ``key=value``.
    """
    if not spec.strip():
        raise UserError("no problem set was given; write a name such as rg_games, or the path of a file")
    parts: list[str] = []
    for piece in spec.split("+"):
        if parts and not _starts_a_set(piece):
            parts[-1] += "+" + piece
        else:
            parts.append(piece)
    return [_parse_one(part.strip()) for part in parts]


def _starts_a_set(text: str) -> bool:
    name = text.strip().partition("?")[0]
    return name.partition(":")[0] in registry.available("problem set") or Path(name).is_file()


def _parse_one(text: str) -> ProblemSpec:
    if _looks_like_file(text):  # a path may hold a question mark
        return ProblemSpec("file", text)
    head, _, query = text.partition("?")
    options = dict(_pair(pair, text) for pair in query.split("&") if pair)
    name, _, argument = head.partition(":")
    if name in registry.available("problem set"):
        return ProblemSpec(name, argument, options)
    if _looks_like_file(head) or Path(head).suffix.lower() in FILE_SUFFIXES or os.sep in head:
        return ProblemSpec("file", head, options)
    message = registry.unknown("problem set", name, registry.available("problem set"))
    raise UserError(f"{message}. You can also give the path of a file ({', '.join(FILE_SUFFIXES)})")


def _looks_like_file(text: str) -> bool:
    try:
        return text.partition(":")[0] not in registry.available("problem set") and Path(text).exists()
    except (OSError, ValueError):  # too long for a path, or with a NUL
        return False


def _pair(pair: str, text: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not equals or not key:
        raise UserError(f"cannot read the option {pair!r} of {text!r}; write key=value, joined by &")
    return key, value


def scalar(text: str) -> Any:
    """A value as TOML would read it (number, boolean, quoted string, array, inline table), else the text."""
    if "\n" in text or ("#" in text and text[:1] not in "\"'[{"):
        return text
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return text
    finite = not isinstance(value, float) or abs(value) < float("inf")
    return value if finite and isinstance(value, bool | int | float | str | list | dict) else text


def _load(part: ProblemSpec, extra: Mapping[str, Any]) -> Iterable[Problem]:
    loader: Loader = registry.load("problem set", part.name)
    signature = inspect.signature(loader, eval_str=True)
    named = {
        name: parameter
        for name, parameter in list(signature.parameters.items())[1:]
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    }
    is_open = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    values: dict[str, Any] = {}
    for key, value in {**part.options, **extra}.items():
        if key in named:
            as_text = key in part.options and key not in extra
            values[key] = _converted(part.name, key, value, named[key].annotation, as_text)
        elif is_open:
            values[key] = scalar(value) if isinstance(value, str) and key not in extra else value
        else:
            raise UserError(
                f"the problem set {part.name!r} has no option {key!r}.{did_you_mean(key, named)} "
                f"Available: {', '.join(named) or '(none)'}"
            )
    produced = loader(part.argument, **values)
    if not isinstance(produced, Iterable):
        raise UserError(
            f"the problem set {part.name!r} returned a {type(produced).__name__} and not problems"
        )
    return produced


def _converted(name: str, key: str, value: Any, annotation: Any, as_text: bool) -> Any:
    if annotation is inspect.Parameter.empty:
        return scalar(value) if as_text else value
    adapter = TypeAdapter(annotation)
    try:
        return adapter.validate_strings(value) if as_text else adapter.validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise UserError(
            f"the option {key}={value!r} of the problem set {name!r} is wrong: {reason}"
        ) from error


def check_problems(problems: list[Problem], spec: str) -> None:
    """Raises UserError for a problem no run could use, and for two with one id; ``spec`` names their origin."""
    formats, graders = registry.available("answer format"), registry.available("grader")
    seen: dict[str, int] = {}
    for number, problem in enumerate(problems, 1):
        if not isinstance(problem, Problem):
            raise UserError(f"{spec} gave a {type(problem).__name__} as problem {number}, not a Problem")
        if not problem.id or not problem.question.strip():
            empty = "id" if not problem.id else "question"
            raise UserError(f"problem {number} of {spec} has an empty {empty}")
        first = seen.setdefault(problem.id, number)
        if first != number:
            raise UserError(
                f"two problems of {spec} have the id {problem.id!r}: number {first} and number {number}; "
                "ids must be unique"
            )
        if problem.format not in formats:
            raise UserError(
                f"problem {problem.id!r}: {registry.unknown('answer format', problem.format, formats)}"
            )
        if problem.grader is not None and problem.grader not in graders:
            raise UserError(f"problem {problem.id!r}: {registry.unknown('grader', problem.grader, graders)}")
        _check_storable(problem)


def _check_storable(problem: Problem) -> None:
    try:
        content = json.dumps(
            [problem.id, problem.question, problem.reference, dict(problem.metadata)],
            allow_nan=False,
            ensure_ascii=False,
        )
        content.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"problem {problem.id!r} holds half of a surrogate pair; it is not valid Unicode"
        ) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"problem {problem.id!r} cannot be written as JSON: {error}") from error
