"""What the forked child does: the program as a script, as LiveCodeBench's grader runs it, or one call of a function.

Everything here runs beside hostile code and is trusted by nobody: what it writes is data that is compared elsewhere.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import io
import json
import os
import sys
import threading
import traceback
import types
from typing import Any

from values import pack, unpack  # type: ignore[import-not-found]

STARRED = [
    "string",
    "re",
    "datetime",
    "collections",
    "heapq",
    "bisect",
    "copy",
    "math",
    "random",
    "statistics",
    "itertools",
    "functools",
    "operator",
    "io",
    "sys",
    "json",
    "builtins",
    "typing",
]
PRELUDE = "\n".join(
    [
        *(f"from {name} import *" for name in STARRED),
        f"import {', '.join(STARRED[:16])}",
        "sys.setrecursionlimit(50000)",
        "",
    ]
)
"""What LiveCodeBench puts before every program: its names are part of what a program may count on there."""


def prepare(asked: dict[str, Any]) -> None:
    """Import what the prelude imports, once for all tests, before any of the program runs."""
    if asked["mode"] == "lcb" or asked.get("prelude"):
        for name in STARRED:
            importlib.import_module(name)


def run(code: str, asked: dict[str, Any], value: int, nonce: bytes) -> int:
    """Do what is asked; the exit status. What a call returned goes to the descriptor ``value`` behind the nonce."""
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stdout.reconfigure(line_buffering=False)
    sys.argv = ["program.py"]
    sys.path[:] = ["/tmp", *sys.path[1:]]
    for name in ("values", "running", "frames"):
        sys.modules.pop(name, None)
    status = 0
    mode = asked["mode"]
    try:
        if mode == "script":
            _script(code)
        elif mode == "lcb":
            _wrapped(code, asked["stdin"])
        else:
            result = _call(code, asked)
            body = nonce + json.dumps(pack(result)).encode("ascii")
            while body:
                body = body[os.write(value, body) :]
    except SystemExit as error:
        status = _status(error)
        if mode == "call":
            print("the program ended itself before it returned a value", file=sys.stderr)
            status = status or 1
    except BaseException:
        status = 1
        _report()
    return _finish(status)


def _script(code: str) -> None:
    """As ``python program.py``."""
    main = types.ModuleType("__main__")
    main.__dict__["__file__"] = "/tmp/program.py"
    sys.modules["__main__"] = main
    exec(compile(code, "program.py", "exec"), main.__dict__)
    for thread in threading.enumerate():  # as the interpreter does before it ends
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def _wrapped(code: str, text: str) -> None:
    """As the grader of LiveCodeBench (lcb_runner/evaluation/testing_util.py) runs a program that reads its input.

    Imports first, everything else the body of a function; a test of ``__name__`` at the end is taken for granted; what
    it reads from is an object with some of its methods replaced; leaving early is no fault.
    """
    tree = ast.parse(code)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.If) and ast.unparse(last.test).strip() == "__name__ == '__main__'":
        tree.body[-1:] = last.body
    imports = [one for one in tree.body if isinstance(one, ast.Import | ast.ImportFrom)]
    others = [one for one in tree.body if not isinstance(one, ast.Import | ast.ImportFrom)]
    indented = ast.unparse(
        ast.FunctionDef(
            name="wrapped",
            args=ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[]),
            body=others or [ast.Pass()],
            decorator_list=[],
            lineno=1,
        )
    )
    module = types.ModuleType("program")
    source = "\n".join([PRELUDE, *(ast.unparse(one) for one in imports), indented])
    captured = io.StringIO()
    real, sys.stdout = sys.stdout, captured
    exec(compile(source, "program.py", "exec"), module.__dict__)
    given, lines = io.StringIO(text), iter(text.split("\n"))
    given.readline = lambda *_: next(lines)  # type: ignore[method-assign]
    given.readlines = lambda *_: text.split("\n")  # type: ignore[method-assign]
    given.read = lambda *_: text  # type: ignore[method-assign]
    builtins.open = lambda *_, **__: io.StringIO(text)  # type: ignore[assignment]
    sys.stdin = given
    with contextlib.suppress(SystemExit):
        module.wrapped()
    sys.stdout = real
    sys.stdout.write(captured.getvalue())


def _call(code: str, asked: dict[str, Any]) -> Any:
    """The value of one call of the program's function, or of the method of its class ``Solution``."""
    module = types.ModuleType("program")
    sys.modules["program"] = module
    prelude = PRELUDE + "\n" if asked.get("prelude") else ""
    exec(compile(prelude + asked.get("before", "") + code, "program.py", "exec"), module.__dict__)
    name = asked["name"]
    solution = module.__dict__.get("Solution")
    owner = solution() if isinstance(solution, type) and hasattr(solution, name) else module
    return getattr(owner, name)(*unpack(asked["arguments"]), **unpack(asked.get("keywords", {"dict": []})))


def _status(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 255
    print(str(error.code)[:1000], file=sys.stderr)
    return 1


def _report() -> None:
    try:
        traceback.print_exc(limit=-8, file=sys.stderr)
    except BaseException:
        os.write(2, b"the program failed, and so did telling how\n")


def _finish(status: int) -> int:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            status = status or 1
    return status
