"""One sandbox a program, from outside: start it, have it run one test after the other, end it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from evolve_llm.grading import sandbox, syscalls
from evolve_llm_problems.code.alone import alone, beside_others
from evolve_llm_problems.code.inside import frames

INSIDE = Path(frames.__file__).parent
START_SECONDS = 60.0
GRACE_SECONDS = 20.0
"""How much longer than its own limit a host may take to answer, on a machine that is busy."""


@dataclass(frozen=True)
class Limits:
    """What one test may use: CPU and wall seconds; bytes of memory (a process), of a file, of output; processes."""

    cpu: float = 6.0
    wall: float = 15.0
    memory: int = 1 << 30
    files: int = 8 << 20
    output: int = 32 << 20
    processes: int = 16


@dataclass(frozen=True)
class Outcome:
    """What became of one test. ``how``: ``ended``, ``cpu``, ``wall``, ``output``, ``processes``.

    ``code`` or ``signal`` is how the process ended; ``value`` is a list of the packed value a call returned, None
    where it returned none. ``cpu`` and ``wall`` are seconds, ``peak`` bytes.
    """

    how: str
    code: int | None
    signal: int | None
    out: str
    err: str
    value: list[Any] | None
    cpu: float
    wall: float
    peak: int


class HostError(Exception):
    """The sandbox did not start, or its first process is gone. Says nothing about the program."""


class Process:
    """A script of ``inside`` in a sandbox of its own, and the socket to it. Ends with its ``with`` block."""

    def __init__(self, script: str, *, unsafe_local: bool = False) -> None:
        """Start it. Raises SandboxUnavailable where there is no bubblewrap; ``unsafe_local`` then does without."""
        ours, theirs = socket.socketpair()
        isolated = not unsafe_local or sandbox.available() is None
        line = [sys.executable, "-I", str(INSIDE / script), str(theirs.fileno()), str(int(isolated))]
        try:
            with syscalls.opened() if isolated else contextlib.nullcontext(()) as filters:
                if isolated:
                    line = sandbox.command(line, keep=[INSIDE], first=True, filters=filters)
                self._process = subprocess.Popen(
                    line,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno(), *filters],
                    env=dict(sandbox.ENVIRONMENT),
                    cwd="/",
                )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._socket = ours
        try:
            self.receive(START_SECONDS)
        except BaseException:
            self.close()
            raise

    def send(self, message: Mapping[str, Any]) -> None:
        """Raises HostError when nobody is there, ValueError for more than a frame holds."""
        try:
            frames.send(self._socket, message)
        except OSError as error:
            raise HostError(f"the sandbox is gone ({error})") from error

    def receive(self, seconds: float) -> dict[str, Any]:
        """Raises HostError when nothing sensible comes within this time."""
        self._socket.settimeout(seconds)
        try:
            return frames.receive(self._socket)
        except (OSError, EOFError, ValueError) as error:
            raise HostError(f"the sandbox is gone ({error})") from error
        finally:
            self._socket.settimeout(None)

    def close(self) -> None:
        """End everything in the sandbox. Closing twice does nothing."""
        self._socket.close()
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Program(Process):
    """One program in its sandbox; each test runs in a process of its own there, forked from one that waits."""

    def __init__(self, code: str, limits: Limits | None = None, *, unsafe_local: bool = False) -> None:
        super().__init__("host.py", unsafe_local=unsafe_local)
        self.limits = limits or Limits()
        self.send({"code": code, "limits": asdict(self.limits)})

    def script(self, stdin: str, mode: str = "script") -> Outcome:
        """Run it as a script (or ``lcb``) on this input. Raises HostError."""
        return self._test({"mode": mode, "stdin": stdin})

    def call(
        self, name: str, arguments: Any, keywords: Any = None, *, before: str = "", prelude: bool = False
    ) -> Outcome:
        """Call its function on packed arguments; the program stands after ``before``, and after LiveCodeBench's
        imports with ``prelude``. Raises HostError.
        """
        asked = {"mode": "call", "name": name, "arguments": arguments, "before": before, "prelude": prelude}
        return self._test({**asked, **({} if keywords is None else {"keywords": keywords})})

    def _test(self, asked: dict[str, Any]) -> Outcome:
        """One test; once more, alone and with more patience, when only the clock ran out and not the CPU time."""
        with beside_others():
            outcome = self._once(asked, self.limits.wall)
        if outcome.how == "wall" and outcome.cpu <= self.limits.cpu:
            with alone():
                outcome = self._once(asked, 2 * self.limits.wall)
        return outcome

    def _once(self, asked: dict[str, Any], wall: float) -> Outcome:
        self.send({**asked, "cpu": self.limits.cpu, "wall": wall})
        outcome = _outcome(self.receive(wall + GRACE_SECONDS))
        # The kernel's limit is in whole seconds and ends a process a little to either side of it.
        if outcome.signal == signal.SIGXCPU or outcome.cpu >= 0.99 * self.limits.cpu:
            return Outcome(**{**asdict(outcome), "how": "cpu"})
        return outcome


def _outcome(said: dict[str, Any]) -> Outcome:
    try:
        return Outcome(**said)
    except TypeError as error:
        raise HostError(f"the sandbox spoke nonsense ({error})") from error


def workers() -> int:
    """How many programs to run at once: one a core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
