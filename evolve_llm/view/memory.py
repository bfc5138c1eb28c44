"""Remembers answers about a whole run for as long as nothing is written to it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

MOST = 512
"""Answers that are remembered."""

Answer = TypeVar("Answer")
Mark = tuple[tuple[int, int], ...]


def mark(path: Path) -> Mark:
    """What changes whenever something is written to a run: the times and sizes of its files."""
    found = []
    for name in ("run.json", "run.db", "run.db-wal"):
        try:
            told = (path / name).stat()
        except OSError:
            found.append((0, 0))
        else:
            found.append((told.st_mtime_ns, told.st_size))
    return tuple(found)


class Memory:
    """Answers by question and run. ``cost``: the seconds that the answers about a run last took, all together."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], tuple[Mark, Any]] = OrderedDict()
        self._took: dict[Path, dict[str, float]] = {}
        self._lock = threading.Lock()

    def answer(self, question: str, paths: tuple[Path, ...], make: Callable[[], Answer]) -> Answer:
        """What ``make`` gives, or gave when these runs were as they are now. What it raises is not remembered."""
        key, now = (question, *paths), tuple(one for path in paths for one in mark(path))
        with self._lock:
            known = self._known.get(key)
        if known is not None and known[0] == now:
            return known[1]  # type: ignore[no-any-return]
        begun = time.monotonic()
        found = make()
        with self._lock:
            self._took.setdefault(paths[0], {})[question] = time.monotonic() - begun
            self._known[key] = (now, found)
            self._known.move_to_end(key)
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        return found

    def cost(self, path: Path) -> float:
        """The seconds it takes to answer anew what a page asks of a run."""
        with self._lock:
            return sum(self._took.get(path, {}).values())
