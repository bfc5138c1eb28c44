"""A real vLLM API server on the CPU, with the tiny model that ships, for the tests that need one."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from evolve_llm.backends.fly import FOLDER

NAME = "fly"
READY_WITHIN = 600
"""Seconds; about 60 on two idle cores, several times that on busy ones."""

FLAGS = (
    *("--dtype", "float32", "--enforce-eager", "--gpu-memory-utilization", "0.3", "--max-model-len", "512"),
    *("--max-num-seqs", "16", "--block-size", "32", "--enable-prompt-tokens-details"),
)
"""Blocks as small as the CPU has them, so that the fly's short prompts fill some: only full blocks are cached."""

CPU = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}


class VllmServer:
    """Start with ``with``. It and its children are one process group, which is killed at the end."""

    def __init__(self, folder: Path) -> None:
        self.port = _free_port()
        self._log = folder / "vllm.log"
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/v1"

    def __enter__(self) -> VllmServer:
        # `vllm serve` looks for a distribution named vllm, which the CPU build is not
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", str(FOLDER), "--served-model-name", NAME, *FLAGS]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **CPU},
                cwd=self._log.parent,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """At once, with all its children, as if the machine had lost power."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)

    def _wait(self) -> None:
        ends = time.monotonic() + READY_WITHIN
        assert self._process is not None
        while time.monotonic() < ends:
            if self._process.poll() is not None:
                raise AssertionError(f"the vLLM server ended with {self._process.returncode}: {self._tail()}")
            with contextlib.suppress(OSError, urllib.error.URLError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).close()
                return
            time.sleep(0.5)
        raise AssertionError(f"the vLLM server is not ready after {READY_WITHIN} s: {self._tail()}")

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
