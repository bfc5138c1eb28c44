"""The page that ``run --view`` opens beside a run."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import webbrowser
from pathlib import Path
from urllib.parse import quote

from evolve_llm.cli.console import say
from evolve_llm.nouns.errors import UserError


class Page:
    """``evolve-llm view`` over one run, in a process of its own: the run and the page do not wait for each other."""

    def __init__(self) -> None:
        """Raises UserError where the page cannot be served, before anything is spent."""
        try:
            import sse_starlette  # noqa: F401
            import starlette  # noqa: F401
            import uvicorn  # noqa: F401
        except ImportError as error:
            raise UserError(f'the page needs {error.name}: pip install "evolve-llm[view]"') from error
        self._server: subprocess.Popen[str] | None = None

    def open(self, path: Path) -> None:
        """Serve the run directory, say where, and open the browser. A page that does not come is only told of."""
        command = [sys.executable, "-P", "-m", "evolve_llm", "view", str(path), "--no-browser"]
        self._server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        assert self._server.stderr is not None
        line = self._server.stderr.readline()
        address = next((word for word in line.split() if word.startswith("http://127.0.0.1:")), None)
        if address is None:
            say(f"the page could not be opened: {line.strip() or 'it ended at once'}")
            return
        address = f"{address}#/run/{quote(path.resolve().name, safe='')}"
        say(f"look at {address}")
        webbrowser.open(address)

    def stay(self) -> None:
        """After the run: keep the page until Ctrl-C where somebody sits at a terminal, else end it."""
        if self._server is not None and self._server.poll() is None and sys.stdin.isatty():
            say("the page stays open; Ctrl-C ends it")
            with contextlib.suppress(KeyboardInterrupt):
                self._server.wait()

    def close(self) -> None:
        """End the server."""
        if self._server is not None and self._server.poll() is None:
            self._server.terminate()
            self._server.wait()
