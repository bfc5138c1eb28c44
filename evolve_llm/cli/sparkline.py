"""A row of small bars that shows numbers in one line of a terminal."""

from __future__ import annotations

from collections.abc import Iterable

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Iterable[float | None], top: float = 1.0) -> str:
    """One bar a value, from 0 to ``top``; a blank where there is no value."""
    return "".join(" " if one is None else BARS[_level(one / top)] for one in values)


def _level(share: float) -> int:
    return min(len(BARS) - 1, max(0, int(share * len(BARS))))


def course(name: str, values: Iterable[float | None]) -> str:
    """``pass@1 ▂▄▇ 0.240 → 0.870``; empty where there is no value at all."""
    listed = list(values)
    known = [one for one in listed if one is not None]
    if not known:
        return ""
    return f"{name} {sparkline(listed)} {known[0]:.3f} → {known[-1]:.3f}"


def duration(seconds: float) -> str:
    """Whole seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds) + 1, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
