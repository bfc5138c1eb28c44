"""Parameters of operators: what their annotation asks for, in words, and nothing where it asks for nothing."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, Strict

from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.parameters import wrong_parameters
from evolve_llm.scheme.preset import Preset
from evolve_llm.scheme.toolbox import build, check


def operator(
    individuals: list[Any],
    k: int,
    *,
    size: Annotated[int, Field(ge=1)] = 3,
    share: Annotated[float, Field(gt=0, le=1)] = 0.5,
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.5,
    between: Annotated[float, Field(ge=1, le=2)] = 1.5,
    small: Annotated[int, Field(lt=9)] = 0,
    pool: Annotated[int, Field(ge=2)] | None = None,
    first: Annotated[bool, Strict()] = True,
    mode: Literal["worst", "similar"] = "worst",
    free: int = 0,
) -> None:
    """Takes what its annotations say."""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": 0}, "size must be a whole number of at least 1, got 0"),
        ({"size": "3"}, "size must be a whole number of at least 1, got '3'"),
        ({"size": True}, "size must be a whole number of at least 1, got True"),
        ({"size": 2.0}, "size must be a whole number of at least 1, got 2.0"),
        ({"share": 0}, "share must be a finite number greater than 0 and at most 1, got 0"),
        ({"share": math.nan}, "share must be a finite number greater than 0 and at most 1, got nan"),
        ({"decay": 1}, "decay must be a finite number of at least 0 and less than 1, got 1"),
        ({"between": math.inf}, "between must be a finite number from 1 to 2, got inf"),
        ({"small": 9}, "small must be a whole number less than 9, got 9"),
        ({"pool": 1}, "pool must be a whole number of at least 2, got 1"),
        ({"first": 1}, "first must be true or false, got 1"),
        ({"mode": "best"}, "mode must be 'worst' or 'similar', got 'best'"),
    ],
)
def test_what_does_not_fit_is_told_with_what_would(given: dict[str, Any], words: str) -> None:
    assert wrong_parameters(operator, given) == [words]
    assert wrong_parameters(functools.partial(functools.partial(operator, free=1)), given) == [words]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"size": 1, "share": 1, "decay": 0, "between": 2, "pool": None, "first": False, "mode": "similar"},
        {"free": "anything", "unknown": 1},
    ],
)
def test_what_fits_and_what_nobody_asked_about_is_left_alone(given: dict[str, Any]) -> None:
    assert wrong_parameters(operator, given) == []


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert len(wrong_parameters(operator, {"size": 0, "share": 2, "mode": "best"})) == 3


def test_annotations_that_name_nothing_bind_nobody() -> None:
    def lost(individuals: Nowhere, k: int, *, size: Annotated[int, Field(ge=1)] = 1) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Its annotations cannot be read."""

    assert wrong_parameters(lost, {"size": 0}) == []
    assert wrong_parameters(len, {"size": 0}) == []


def _reregistered(alias: str, **parameters: Any) -> Callable[[], None]:
    def attempt() -> None:
        preset = Preset(
            name="x",
            population=4,
            parents=2,
            generations=2,
            evaluate="agreement",
            select="tournament",
            stop=["consensus"],
            replace="steady_state",
        )  # type: ignore[arg-type]
        scheme = build(preset)
        function = getattr(scheme.toolbox, alias).func
        scheme.toolbox.register(alias, function, **parameters)
        check(scheme)

    return attempt


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (_reregistered("select", tournsize=0), r"\[select\] .*tournsize must be"),
        (_reregistered("replace", replace="best"), r"\[replace\] .*replace must be"),
        (_reregistered("stop_0", share=7), r"\[stop_0\] .*share must be"),
    ],
)
def test_what_is_registered_by_hand_is_checked_too(attempt: Callable[[], None], words: str) -> None:
    with pytest.raises(UserError, match=words):
        attempt()
