"""The first process of a program's sandbox: forks one child a test, watches it, and says what came of it.

It holds the program's text and the input of one test, never an expected output, so there is nothing in its memory to
find. It executes nothing of the program itself. Run as ``python -I host.py DESCRIPTOR ALONE``; ``ALONE`` is 1 where
every other process it can see is the program's.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from frames import receive, send  # type: ignore[import-not-found]
from running import prepare, run  # type: ignore[import-not-found]

NONCE = 16
TAIL = 4_000
_LOOK = 0.02
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36


class Host:
    """One program. ``limits``: memory and files in bytes, output in bytes, processes."""

    def __init__(self, connection: socket.socket, alone: bool) -> None:
        self.connection = connection
        self.alone = alone
        self.code = ""
        self.limits: dict[str, int] = {}

    def serve(self) -> None:
        """Answer one request after the other until the other side is gone."""
        send(self.connection, {"ready": True})
        while True:
            try:
                asked = receive(self.connection)
            except EOFError:
                return
            if "code" in asked:
                self.code, self.limits = asked["code"], asked["limits"]
                gc.collect()
                gc.freeze()
                continue
            send(self.connection, self.test(asked))

    def test(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Run the program on one test in a child. What it printed and returned are texts, whatever they hold."""
        nonce = os.urandom(NONCE)
        pipes = [os.pipe() for _ in range(3)]
        # The reading lcb hands the input over inside Python: what the process itself could read is empty there.
        stdin = _file("" if asked["mode"] == "lcb" else asked.get("stdin", ""))
        prepare(asked)
        begun = time.monotonic()
        child = os.fork()
        if child == 0:
            self._child(asked, stdin, pipes, nonce)
        os.close(stdin)
        for _, writer in pipes:
            os.close(writer)
        how, received = self._watch([reader for reader, _ in pipes], begun + asked["wall"], child)
        for reader, _ in pipes:
            os.close(reader)
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
        _, status, used = os.wait4(child, 0)
        self._end_others()
        cpu = used.ru_utime + used.ru_stime
        value = received[2]
        return {
            "how": how,
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "out": received[0].decode("utf-8", "replace"),
            "err": received[1][-TAIL:].decode("utf-8", "replace"),
            "value": _json(value[NONCE:]) if value[:NONCE] == nonce else None,
            "cpu": cpu,
            "wall": time.monotonic() - begun,
            "peak": used.ru_maxrss << 10,
        }

    def _watch(self, readers: list[int], until: float, child: int) -> tuple[str, list[bytes]]:
        """What the child wrote, and why watching ended: ``ended``, ``wall``, ``output`` or ``processes``."""
        received = [bytearray(), bytearray(), bytearray()]
        left_over = [self.limits["output"]] * 3
        open_ends = dict(zip(readers, range(3), strict=True))
        ended = os.pidfd_open(child)
        how = "ended"
        while how == "ended":
            left = until - time.monotonic()
            if left <= 0:
                how = "wall"
                break
            ready, _, _ = select.select([*open_ends, ended], [], [], min(left, _LOOK))
            for reader in ready:
                if reader == ended:
                    continue
                chunk = os.read(reader, 1 << 16)
                place = open_ends[reader]
                left_over[place] -= len(chunk)
                if not chunk:
                    del open_ends[reader]
                elif left_over[place] < 0:
                    how = "output"
                elif place == 1:
                    received[1][:] = (received[1] + chunk)[-TAIL:]
                else:
                    received[place] += chunk
            if self.alone and self._too_many():
                how = "processes"
            elif ready == [ended]:
                break  # what it left behind may hold the pipes open, and is ended by the caller
        os.close(ended)
        return how, [bytes(part) for part in received]

    def _too_many(self) -> bool:
        # RLIMIT_NPROC does not bind the superuser, so they are counted too.
        with contextlib.suppress(OSError):
            return sum(entry.name.isdecimal() for entry in os.scandir("/proc")) > self.limits["processes"] + 2
        return False

    def _end_others(self) -> None:
        while self.alone:
            with contextlib.suppress(OSError):
                os.kill(-1, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        if self.alone:
            _empty(Path("/tmp"))

    def _child(self, asked: dict[str, Any], stdin: int, pipes: list[tuple[int, int]], nonce: bytes) -> None:
        """Become the program. Never returns."""
        try:
            os.setpgid(0, 0)
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.dup2(stdin, 0)
            os.dup2(pipes[0][1], 1)
            os.dup2(pipes[1][1], 2)
            value = os.dup2(pipes[2][1], 3) if pipes[2][1] != 3 else 3
            os.set_inheritable(value, False)
            self.connection.detach()
            os.closerange(4, 512)
            cpu = int(asked["cpu"] + 0.999)
            for name, most in (
                ("RLIMIT_CPU", cpu + 1),
                ("RLIMIT_AS", self.limits["memory"]),
                ("RLIMIT_FSIZE", self.limits["files"]),
                ("RLIMIT_NPROC", self.limits["processes"]),
                ("RLIMIT_NOFILE", 256),
                ("RLIMIT_CORE", 0),
            ):
                with contextlib.suppress(OSError, ValueError):
                    resource.setrlimit(getattr(resource, name), (most, most))
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
            status = run(self.code, asked, value, nonce)
        except BaseException:
            os._exit(1)
        os._exit(status)


def _file(text: str) -> int:
    """A descriptor from which the text can be read, as a judge gives its input: a file, not a terminal."""
    descriptor = os.memfd_create("input")
    data = memoryview(text.encode("utf-8", "surrogatepass"))
    while data:
        data = data[os.write(descriptor, data) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _json(body: bytes) -> Any:
    """The value a child has written, or None where it is none; in a list, so that it may be None itself."""
    try:
        return [json.loads(body)]
    except (ValueError, RecursionError):
        return None


def _empty(folder: Path) -> None:
    """Delete what one test has left in the scratch folder: the next is to find it as the first did."""
    for entry in list(folder.iterdir()):
        with contextlib.suppress(OSError):
            if entry.is_dir() and not entry.is_symlink():
                entry.chmod(0o700)
                _empty(entry)
                entry.rmdir()
            else:
                entry.unlink()


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def main() -> None:
    """Serve on the descriptor named on the command line."""
    sys.set_int_max_str_digits(0)
    _prctl(_PR_SET_DUMPABLE, 0)  # no process of the same user may then read or trace this one
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    connection = socket.socket(fileno=int(sys.argv[1]))
    with contextlib.suppress(ConnectionError):
        Host(connection, sys.argv[2] == "1").serve()


if __name__ == "__main__":
    main()
