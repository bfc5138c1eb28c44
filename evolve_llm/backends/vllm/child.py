"""A plug-in for vLLM, which loads it in every process of an engine: none outlives the program that started it.

Left alone, an engine whose program was killed while it was loading stays for ever, with all its memory.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

VARIABLE = "EVOLVE_LLM_ENGINE_OF"
"""Holds the id of the program, in processes that it starts as its engine; elsewhere the plug-in does nothing."""

_PAUSE = 1.0


@contextlib.contextmanager
def children_end_with_us() -> Iterator[None]:
    """Processes started meanwhile, and theirs, end when this one does.

    They do not look for modules in the current folder first, as ``python -c`` does, with which they are started: a
    ``random.py`` of the user's would hide Python's own. Where this process looks, they look too.
    """
    given = {VARIABLE: str(os.getpid()), "PYTHONSAFEPATH": "1"}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def end_with_parent() -> None:
    """Watch the program and the parent of this process from a thread, and end with either."""
    owner = os.environ.get(VARIABLE, "")
    if owner.isdecimal() and int(owner) != os.getpid():
        threading.Thread(target=_watch, args=(int(owner), os.getppid()), daemon=True).start()


def _watch(owner: int, parent: int) -> None:
    while os.getppid() == parent and _lives(owner):
        time.sleep(_PAUSE)
    os.kill(os.getpid(), signal.SIGKILL)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
