"""The process that grades: a small server that never grades itself, and forks one child per item.

The server imports a grader once (which may be slow) and stays single-threaded, so forking is safe. Each
child grades one item, sends its result on a private pipe and dies, so no answer can leave anything
behind for the next one. The server kills a child at the deadline, and ends when its parent does.

This module is the program; nothing in the machine's own process imports it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from evolve_llm.grading import sandbox, wire

NONCE = 16
_ORPHAN_CHECK = 2.0  # seconds between looks at whether the parent still lives, should no end of file tell
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


class Limits:
    """What one item may use. Limits the system does not know are left out."""

    def __init__(self, memory: int, cpu: float, sandboxed: bool) -> None:
        self.memory = memory
        self.cpu = max(1, int(cpu) + 2)
        self.sandboxed = sandboxed

    def apply(self) -> None:
        """Lower this process's limits for good."""
        self._lower("RLIMIT_AS", self.memory)
        self._lower("RLIMIT_CPU", self.cpu)
        self._lower("RLIMIT_CORE", 0)
        if self.sandboxed:
            self._lower("RLIMIT_FSIZE", 1 << 20)
            self._lower("RLIMIT_NOFILE", 64)
            self._lower("RLIMIT_NPROC", 64)

    @staticmethod
    def _lower(name: str, value: int) -> None:
        number = getattr(resource, name, None)
        if number is not None:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(number, (value, value))


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _resolve(location: str) -> Any:
    module, _, attributes = location.partition(":")
    found: Any = importlib.import_module(module)
    for attribute in filter(None, attributes.split(".")):
        found = getattr(found, attribute)
    return found


class Server:
    """One request at a time from the control socket; one forked child per item."""

    def __init__(self, control: socket.socket, sandboxed: bool, memory: int) -> None:
        self._control = control
        self._sandboxed = sandboxed
        self._memory = memory
        self._graders: dict[str, Any] = {}
        self._parent = os.getppid()

    def serve(self) -> None:
        """Answer requests until the parent closes its end or dies."""
        self._send({"ready": True})
        while True:
            header = self._receive(wire.HEADER)
            body = self._receive(wire.body_length(header)) if header else b""
            if not body:
                return
            request = wire.decode(body)
            failure = self._load(request["grader"], request["reference"], request["do"])
            if failure is None:
                self._send({"started": True})
            self._send(failure or self._item(request))

    def _load(self, location: str, reference: Any, do: str) -> dict[str, Any] | None:
        """Import a grader and let it warm up (it sees no answer yet). None, or what failed."""
        try:
            grader = self._graders.get(location)
            if grader is None:
                grader = self._graders[location] = _resolve(location)
            warm = getattr(grader, "warm", None)
            if warm is not None and do != "behaviour":
                warm(reference)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"[: wire.MAX_DETAIL]}
        return None

    def _item(self, request: dict[str, Any]) -> dict[str, Any]:
        grader = self._graders[request["grader"]]
        answer, reference = request["answer"], request["reference"]
        if request["do"] == "grade":
            return self._in_child(
                lambda: wire.pack_verdict(grader.grade(answer, reference)), request["deadline"]
            )
        if request["do"] == "behaviour":
            return self._in_child(lambda: str(grader.behaviour(answer, reference)), request["deadline"])
        return self._in_child(lambda: str(grader.canonical(answer)), request["deadline"])

    def _in_child(self, work: Callable[[], Any], deadline: float) -> dict[str, Any]:
        """What one forked child says about one item; it is dead when this returns."""
        until = time.monotonic() + deadline
        gc.freeze()  # a collection in the child would touch, and so copy, every page of the server's heap
        reader, writer = os.pipe()
        nonce = os.urandom(NONCE)
        server = os.getpid()
        child = os.fork()
        if child == 0:
            self._child(work, writer, nonce, deadline, server)
        os.close(writer)
        try:
            # Both sides do it, so that whoever comes first wins the race.
            with contextlib.suppress(OSError):
                os.setpgid(child, child)
            message = self._result(reader, nonce, until)
        finally:
            os.close(reader)
            ending = self._end(child)
        return message or {"crashed": f"the grading process {ending}"}

    def _child(
        self, work: Callable[[], Any], writer: int, nonce: bytes, deadline: float, server: int
    ) -> None:
        """Grade, report, die. Never returns, whatever the work does."""
        try:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != server:
                os._exit(1)
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)
            self._control.close()
            Limits(self._memory, deadline, self._sandboxed).apply()
            try:
                message: dict[str, Any] = {"result": work()}
            except MemoryError:
                message = {"crashed": "the grading process ran out of memory"}
            except Exception as error:
                message = {"error": f"{type(error).__name__}: {error}"[: wire.MAX_DETAIL]}
            _write_all(writer, nonce + wire.encode(message))
        except BaseException:
            os._exit(1)
        os._exit(0)

    def _result(self, reader: int, nonce: bytes, until: float) -> dict[str, Any] | None:
        """The child's message, ``{"deadline": True}``, or None when it ended without a proper one.

        A message counts only behind the nonce of its item: bytes written blindly to every descriptor
        are not a verdict.
        """
        received = bytearray()
        start = NONCE + wire.HEADER
        needed = start
        try:
            while len(received) < needed:
                left = until - time.monotonic()
                if left <= 0:
                    return {"deadline": True}
                watched: list[Any] = [reader, self._control]
                ready, _, _ = select.select(watched, [], [], min(left, _ORPHAN_CHECK))
                if self._control in ready or os.getppid() != self._parent:
                    raise SystemExit(0)
                if reader not in ready:
                    continue
                chunk = os.read(reader, 1 << 16)
                if not chunk:
                    return None
                received += chunk
                if len(received) >= start:
                    if received[:NONCE] != nonce:
                        return None
                    needed = start + wire.body_length(bytes(received[NONCE:start]))
            message = wire.decode(bytes(received[start:needed]))
        except wire.MalformedFrameError:
            return None
        return message if set(message) in ({"result"}, {"error"}, {"crashed"}) else None

    def _end(self, child: int) -> str:
        """Kill the child and whatever it started, reap it, and say how it ended."""
        ended, status = os.waitpid(child, os.WNOHANG)
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)
        if not ended:
            _, status = os.waitpid(child, 0)
        if self._sandboxed:
            _end_all_others()
        if os.WIFSIGNALED(status):
            return f"was killed by signal {os.WTERMSIG(status)}"
        return f"ended with status {os.waitstatus_to_exitcode(status)} and no verdict"

    def _send(self, message: dict[str, Any]) -> None:
        self._control.sendall(wire.encode(message))

    def _receive(self, count: int) -> bytes:
        """Exactly ``count`` bytes, or none when the parent is gone."""
        received = bytearray()
        while len(received) < count:
            ready, _, _ = select.select([self._control], [], [], _ORPHAN_CHECK)
            if not ready:
                if os.getppid() != self._parent:
                    return b""
                continue
            try:
                chunk = self._control.recv(min(count - len(received), 1 << 20))
            except ConnectionError:
                return b""
            if not chunk:
                return b""
            received += chunk
        return bytes(received)


def _end_all_others() -> None:
    """Kill and reap every other process of this PID namespace: all of them came from the item just graded.

    Orphans become children of this process (it is their subreaper), so none is left when this returns.
    """
    while True:
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def main(descriptor: int, sandboxed: bool, memory: int, unsafe_local: bool = False) -> None:
    """Serve on an inherited socket until the parent is gone."""
    if unsafe_local:
        sandbox.allow_unsafe_local()
    if sandboxed:
        # No process of the same user may then read or trace this one: not even a child gone astray.
        _prctl(_PR_SET_DUMPABLE, 0)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    sys.set_int_max_str_digits(0)
    with contextlib.suppress(ConnectionError):
        Server(socket.socket(fileno=descriptor), sandboxed, memory).serve()
