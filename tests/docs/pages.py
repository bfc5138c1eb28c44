"""Pages as programs: the fenced blocks of a Markdown file, run in order in an empty folder.

| fence | what happens |
|---|---|
| any with ``title="FILE"`` | it is written to that file; with ``title="FILE (2)"`` it is appended |
| ``python`` without a title | it is executed; the blocks of a page share their names |
| ``text title="prints"`` | it must be what the Python block before it has printed |
| ``console`` | each ``$ command`` is run, and what it prints must be what stands below it |
| ``sql title="RUN/run.db"`` | it is run there; a ``text`` block right after it must hold the rows |
| ``sh``, ``text`` and the rest | nothing |

In what is printed a line ``…`` stands for any lines, and ``…`` within a line for anything. A comment
``<!-- not run: reason -->`` on the line before a fence leaves it out.

``python tests/docs/pages.py PAGE...`` puts what is printed into pages wherever it is no longer what they say.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WIDTH = "110"  # columns, as the pages were written

_FENCE = re.compile(
    r"(?P<skip><!-- not run: [^\n]*-->\n)?^```(?P<language>\w+)(?P<options>[^\n]*)\n(?P<body>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_TITLE = re.compile(r'title="([^"]+)"')
_FILE = re.compile(r"([\w./-]+\.\w+)( \(\d+\))?")


@dataclass(frozen=True)
class Block:
    """One fenced block; ``title`` is empty where it has none."""

    language: str
    title: str
    body: str
    line: int
    run: bool


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(
            found["language"],
            title[1] if (title := _TITLE.search(found["options"])) else "",
            found["body"],
            text.count("\n", 0, found.start("language")) + 1,
            found["skip"] is None,
        )
        for found in _FENCE.finditer(text)
    ]


Changes = list[tuple[str, str]]


def run_page(page: Path, folder: Path, changes: Changes | None = None) -> None:
    """Run a page in a folder, which must be the current one.

    Raises AssertionError at the first untruth; with ``changes`` untruths are put there instead, as
    (what stands on the page, what should).
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    found = blocks(page.read_text("utf-8"))

    def require(printed: str, expected: str, where: str, before: str = "") -> None:
        try:
            _require(printed, expected, where)
        except AssertionError:
            if changes is None:
                raise
            new = "".join(f"{line}\n" for line in _lines(printed))
            changes.append((f"{before}{expected}", f"{before}{new}"))

    for block, after in zip(found, [*found[1:], None], strict=False):
        where = f"{page.name}, line {block.line}"
        file = _FILE.fullmatch(block.title)
        if not block.run:
            continue
        if block.language == "sql":
            rows = _query(folder / block.title, block.body, where)
            if after is not None and after.language == "text":
                require(rows, after.body, where, f"{block.body}```\n\n```text\n")
        elif file:
            (folder / file[1]).parent.mkdir(parents=True, exist_ok=True)
            with (folder / file[1]).open("a" if file[2] else "w", encoding="utf-8") as opened:
                opened.write(f"\n\n{block.body}" if file[2] else block.body)
        elif block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(block.body, where, "exec"), names)
            if after is not None and after.title == "prints":
                require(printed.getvalue(), after.body, where, f'{block.body}```\n\n```text title="prints"\n')
        elif block.language == "console":
            for command, typed, expected in commands(block.body):
                require(_printed(command, folder), expected, f"{where}: $ {command}", f"$ {typed}\n")


def commands(body: str) -> Iterator[tuple[str, str, str]]:
    """Each command of a console block, as typed over several lines, and what it is said to print."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        found = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*)\n(.*)", part, re.DOTALL)
        assert found is not None
        yield re.sub(r"\\\n\s*", "", found[1]), found[1], found[2]


def _printed(command: str, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": WIDTH,
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        "PYTEST_ADDOPTS": "-p no:cacheprovider -p no:randomly",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / ".hypothesis"),
    }
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    assert "Traceback" not in done.stdout, f"$ {command}\n{done.stdout}"
    return done.stdout


def _query(database: Path, query: str, where: str) -> str:
    with contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute(query).fetchall()
    assert rows, f"{where}: the query finds nothing"
    return "\n".join("|".join(map(str, row)) for row in rows)


def _require(printed: str, expected: str, where: str) -> None:
    """Lines must be equal, spaces at their ends aside."""
    got = _lines(printed)
    pattern = "".join(
        r"(?:[^\n]*\n)*?" if line.strip() == "…" else re.escape(line).replace("…", "[^\n]*") + "\n"
        for line in _lines(expected)
    )
    if not re.fullmatch(pattern, "".join(f"{line}\n" for line in got)):
        raise AssertionError(f"{where}\n--- the page says\n{expected}\n--- it is\n" + "\n".join(got))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def main(pages: list[str]) -> None:
    """Bring pages up to date."""
    sys.path.insert(0, "")
    for page in [Path(name).absolute() for name in pages]:
        changes: Changes = []
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            run_page(page, Path(folder), changes)
        text = page.read_text("utf-8")
        for old, new in changes:
            assert text.count(old) == 1, f"{page.name} says this {text.count(old)} times: {old}"
            text = text.replace(old, new)
        page.write_text(text, "utf-8")
        print(f"{page.name}: {len(changes)} changed")


if __name__ == "__main__":
    main(sys.argv[1:])
