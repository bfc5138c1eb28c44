"""Programs are tested beside each other, and one of them alone where only the clock was against it.

Two locks of files, shared by every process of this user that grades programs. The kernel opens them when a process
dies, so a grader that was killed holds nobody up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def beside_others() -> Iterator[None]:
    """Hold the room with any number of others; waits while somebody wants it alone."""
    with _opened("door") as door, _opened("room") as room:
        _lock(door, fcntl.LOCK_EX)
        _lock(room, fcntl.LOCK_SH)
        _lock(door, fcntl.LOCK_UN)
        yield


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the room with nobody else in it: newcomers wait at the door until those inside have gone and we have too."""
    with _opened("door") as door, _opened("room") as room:
        _lock(door, fcntl.LOCK_EX)
        _lock(room, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _opened(name: str) -> Iterator[int | None]:
    """A lock file of this user, or None where none can be had: then programs are tested without regard to others."""
    path = Path(tempfile.gettempdir()) / f"evolve-llm-programs-{os.getuid()}.{name}"
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        yield None
        return
    try:
        yield file
    finally:
        os.close(file)


def _lock(file: int | None, how: int) -> None:
    if file is not None:
        fcntl.flock(file, how)
