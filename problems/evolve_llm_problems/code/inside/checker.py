"""Runs a benchmark's own assertions in a sandbox of their own; the program they call is elsewhere.

``candidate`` is a stand-in that sends its arguments out and gets a plain value back, so no object of a program's
making ever meets an ``assert``, and the program never sees one. Run as ``python -I checker.py DESCRIPTOR``.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from frames import receive, send  # type: ignore[import-not-found]
from values import pack, unpack  # type: ignore[import-not-found]


class CallFailed(BaseException):
    """A call of the program that gave no value. No ``except Exception`` of a test swallows it."""


class Candidate:
    """Stands for one function of the program."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        self.connection, self.__name__ = connection, name

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """The value the program's function returns. Raises CallFailed."""
        packed = [pack(list(arguments)), pack(keywords)]
        if "opaque" in str(packed) and any(_opaque(part) for part in packed):
            raise CallFailed("unsupported")
        send(self.connection, {"name": self.__name__, "arguments": packed[0], "keywords": packed[1]})
        said = receive(self.connection)
        if "value" not in said:
            raise CallFailed(said.get("how", "killed"))
        return unpack(said["value"])


def _opaque(value: Any) -> bool:
    if isinstance(value, list):
        return any(_opaque(one) for one in value)
    return isinstance(value, dict) and ("opaque" in value or any(_opaque(one) for one in value.values()))


def check(connection: socket.socket, asked: dict[str, Any]) -> dict[str, Any]:
    """Run the tests one after the other; which failed and how, or that all passed."""
    known: dict[str, Any] = {"__name__": "tests"}
    try:
        exec(compile(asked["setup"], "setup.py", "exec"), known)
    except Exception as error:
        return {"bad": f"the setup of the tests raised {type(error).__name__}: {error}"[:300]}
    known.update({name: Candidate(connection, name) for name in asked["names"]})
    for number, test in enumerate(asked["tests"], 1):
        try:
            exec(compile(test, "test.py", "exec"), known)
        except AssertionError:
            return {"failed": number, "how": "wrong-answer"}
        except CallFailed as error:
            return {"failed": number, "how": str(error)}
        except Exception as error:  # what the program gave does not even fit the test
            return {"failed": number, "how": "wrong-answer", "why": f"{type(error).__name__}: {error}"[:200]}
    return {"passed": len(asked["tests"])}


def main() -> None:
    """One set of tests, then the end."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    send(connection, {"ready": True})
    send(connection, {"done": check(connection, receive(connection))})


if __name__ == "__main__":
    main()
