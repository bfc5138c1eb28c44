"""The machine's end of one grading worker: start it, ask it one thing at a time, kill it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from typing import Any

from evolve_llm.grading import sandbox, syscalls, wire

START_SECONDS = 120.0
"""How long a worker may take to start, and to import and warm up a grader: all before any answer."""

# Python's own and the installed modules come before whatever else the caller sees, which may be a folder of scripts: a
# resource.py there, which the caller has survived, would otherwise hide what this program or a grader imports.
_BOOT = (
    "import sys, json; sys.path += [one for one in json.loads(sys.argv[1]) if one not in sys.path]; "
    "from evolve_llm.grading.worker import main; "
    "main(int(sys.argv[2]), sys.argv[3] == 'sandbox', int(sys.argv[4]), sys.argv[3] == 'unsafe')"
)
_GRACE_SECONDS = 3.0
_INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "SYSTEMROOT")


class WorkerDiedError(Exception):
    """The worker process itself ended, or spoke nonsense. Says nothing about the answer."""


class WorkerProcess:
    """One worker. Not shared: whoever holds it asks, waits and gives it back, or kills it."""

    def __init__(self, grader: str, sandboxed: bool, memory: int, unsafe_local: bool = False) -> None:
        """Start the process; it becomes usable when `connect` returns.

        ``grader`` is the ``module:attribute`` whose package must be importable inside a sandbox.
        ``unsafe_local`` lets graders that start sandboxes themselves do without where none can be had.
        Raises SandboxUnavailable when it is to be sandboxed and there is no bubblewrap.
        """
        self._ours, theirs = socket.socketpair()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        kind = "sandbox" if sandboxed else "unsafe" if unsafe_local else "worker"
        line = [sys.executable, "-P", "-c", _BOOT, json.dumps(sandbox.import_path())]
        line += [str(theirs.fileno()), kind, str(memory)]
        packages = ["evolve_llm", grader.partition(":")[0].partition(".")[0]]
        try:
            with syscalls.opened() if sandboxed else contextlib.nullcontext(()) as filters:
                if sandboxed:
                    line = sandbox.command(line, packages=packages, filters=filters)
                # Whatever a grader prints goes nowhere: the verdict has a socket of its own. The environment
                # is made, not inherited, so no key of the user's is in it.
                self._process = subprocess.Popen(
                    line,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno(), *filters],
                    start_new_session=True,
                    env=_environment(),
                    cwd="/",
                )
        except BaseException:
            self._ours.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """The process to kill: the worker, or the bubblewrap around it."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    async def connect(self) -> None:
        """Wait until the worker is ready. Raises WorkerDiedError."""
        self._ours.setblocking(False)
        self._reader, self._writer = await asyncio.open_connection(sock=self._ours)
        if "ready" not in await self._message(START_SECONDS):
            raise WorkerDiedError("the worker did not get ready")

    async def ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        """What the worker says about one item: ``result``, ``error``, ``crashed`` or ``deadline``.

        The deadline counts from the moment the item starts in the worker, after imports. The worker
        itself enforces it; should that fail, WorkerDiedError is raised a little later: kill it then.
        """
        if self._writer is None:
            raise WorkerDiedError("not connected")
        try:
            self._writer.write(wire.encode({**request, "deadline": deadline}))
            await self._writer.drain()
        except ConnectionError as error:
            raise WorkerDiedError(str(error)) from error
        started = await self._message(START_SECONDS)
        return await self._message(deadline + _GRACE_SECONDS) if "started" in started else started

    async def _message(self, seconds: float) -> dict[str, Any]:
        if self._reader is None:
            raise WorkerDiedError("not connected")
        try:
            async with asyncio.timeout(seconds):
                header = await self._reader.readexactly(wire.HEADER)
                return wire.decode(await self._reader.readexactly(wire.body_length(header)))
        except (
            TimeoutError,
            asyncio.IncompleteReadError,
            ConnectionError,
            wire.MalformedFrameError,
        ) as error:
            raise WorkerDiedError(f"{type(error).__name__}: {error}") from error

    def kill(self) -> None:
        """End the process and all it started, and reap it. Never awaits, so cancellation cannot stop it."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._writer is not None:
            with contextlib.suppress(RuntimeError):  # the loop may be closed already
                self._writer.close()
        self._ours.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5.0)


def _environment() -> dict[str, str]:
    return {**sandbox.ENVIRONMENT, **{name: os.environ[name] for name in _INHERITED if name in os.environ}}
