"""Checks of operators' parameters: each returns the value or raises a ValueError that says what would fit."""

from __future__ import annotations

import math
from typing import Any


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Check that a parameter is a whole number in [least, most]."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or value < least
        or (most is not None and value > most)
    ):
        wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {wanted}, got {value!r}")
    return value


def real_number(name: str, value: Any, least: float, most: float = math.inf, *, above: bool = False) -> float:
    """A finite number in [least, most]; ``above``: greater than ``least``."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not least <= value <= most or (above and value == least):
        bound = f"greater than {least:g}" if above else f"of at least {least:g}"
        wanted = bound if most == math.inf else f"from {least:g} to {most:g}"
        raise ValueError(f"{name} must be a finite number {wanted}, got {value!r}")
    return float(value)
