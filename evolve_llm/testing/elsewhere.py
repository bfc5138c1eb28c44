"""The same operator in other processes: on another day, and with another seed of Python's hashes.

What depends on the order of a set, on memory addresses or on the clock gives itself away there, and a run that
uses it cannot be resumed. The processes are started once and serve every contract.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Any
from unittest import SkipTest

from evolve_llm.testing.wording import broken, shown

_WORKER = """
import os, pickle, sys, time
out, source = os.fdopen(os.dup(1), "wb"), sys.stdin.buffer
os.dup2(2, 1)
own = [*sys.path]
real, ns, shift = time.time, time.time_ns, int(sys.argv[1])
time.time, time.time_ns = lambda: real() + shift, lambda: ns() + shift * 10**9
while True:
    try:
        path, work = pickle.load(source)
    except EOFError:
        break
    try:
        sys.path[:] = own + [one for one in path if one not in own]
        import evolve_llm.testing  # ours first: a test's folder may hold a random.py that pytest has survived
        sys.path[:] = path
        scene, operator = pickle.loads(work)
    except BaseException as error:
        given = ("unknown", f"{type(error).__name__}: {error}")
    else:
        try:
            given = ("given", scene(operator))
        except BaseException as error:
            given = ("raised", f"{type(error).__name__}: {error}")
    pickle.dump(given, out)
    out.flush()
"""

_HASH_SEEDS = {"1": 86_400 * 37 + 5_003, "2": 86_400 * 400 + 1_009}
"""Python's hash seed in each process, and by how many seconds its clock is fast."""


def agree_everywhere(scene: Callable[[Any], Any], operator: Any) -> None:
    """Whether ``scene(operator)`` is the same here and in the other processes; both must be importable.

    Raises BrokenError where it is not, and SkipTest for an operator that another process cannot import.
    """
    try:
        work = pickle.dumps((scene, operator))
    except Exception as error:
        raise SkipTest(f"only for operators that another process can import: {error}") from error
    try:
        here = ("given", scene(operator))
    except Exception as error:
        raise SkipTest(f"it raised {type(error).__name__} in this process already") from error
    for hash_seed in _HASH_SEEDS:
        there = _ask(hash_seed, work)
        if there[0] == "unknown":
            raise SkipTest(f"only for operators that another process can import: {there[1]}")
        if there != here:
            broken(
                f"for the same seed it gives {shown(here[1], 200)} here and {shown(there[1], 200)} in "
                "another process. It depends on the clock, on memory addresses or on the order of a set "
                "(sort a set first)"
            )


def _ask(hash_seed: str, work: bytes) -> tuple[str, Any]:
    source, answers = _process(hash_seed)
    try:
        pickle.dump(([*sys.path], work), source)
        source.flush()
        return pickle.load(answers)  # type: ignore[no-any-return]
    except (EOFError, OSError):
        _process.cache_clear()
        return broken("it ended the process it was called in")


@functools.cache
def _process(hash_seed: str) -> tuple[IO[bytes], IO[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _WORKER, str(_HASH_SEEDS[hash_seed])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def end(owner: int = os.getpid()) -> None:
        if os.getpid() == owner:
            with contextlib.suppress(OSError):
                process.stdin.close()  # type: ignore[union-attr]
            process.wait()

    atexit.register(end)
    return process.stdin, process.stdout
