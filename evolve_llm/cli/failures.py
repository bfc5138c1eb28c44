"""Every error becomes one message on standard error and an exit code; a traceback only where asked for."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from evolve_llm.cli.console import say
from evolve_llm.nouns.errors import EvolveError

DEBUG = "EVOLVE_LLM_DEBUG"

EXIT_CODES = {
    0: "the command is done, even if the token budget ended the run or candidates failed (the output says "
    "so)",
    1: "an unexpected error",
    2: "something in the command, in a file it names or on this machine must be changed first",
    3: "the model cannot be used: no server, a wrong key, no such model",
    4: "the run directory cannot be read or written: disk full, damaged, in use",
    5: "an operator broke its contract",
    130: "interrupted with Ctrl-C (143: by SIGTERM); the same command resumes the run",
}

Command = TypeVar("Command", bound=Callable[..., None])


def reported(command: Command) -> Command:
    """Decorates a command: what it raises is told in one message, and its exit code is that of EXIT_CODES."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(130) from None
        except Exception as error:
            if os.environ.get(DEBUG):
                raise
            raise typer.Exit(_tell(error)) from None

    return guarded  # type: ignore[return-value]  # the signature is the command's, by functools.wraps


def _tell(error: BaseException) -> int:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, EvolveError):
        say(f"error: {error}")
        return error.exit_code
    what = str(error).strip().splitlines()
    say(f"error: unexpected {type(error).__name__}{': ' + what[0] if what else ''}")
    say(f"This is a bug in evolve-llm or in a plug-in. To see the traceback, set {DEBUG}=1 or write "
        "evolve-llm --debug COMMAND")  # fmt: skip
    return 1
