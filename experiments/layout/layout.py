"""The layout of a checkout: a picture of its imports, and how many files two ways lead through.

    python experiments/layout/layout.py                                # this checkout
    git worktree add --detach ../before 8cb6775
    python experiments/layout/layout.py --root ../before --name before

Writes ``results/layout_NAME.json`` and, where graphviz's ``dot`` is installed, ``docs/img/layout_NAME.svg``.

- The picture: an arrow from each part of ``evolve_llm`` to what it imports, by grimp (import-linter's own graph). A
  part is a module or folder directly under ``evolve_llm``.
- One problem, from the command line to its answer: ``evolve-llm run`` on the scripted model, two generations of two.
- One completion, from HTTP to the store: the ``openai`` backend's ``generate`` up to the commit, against a server of
  this script's own in another process.

A file is entered where one of its functions is called; being imported does not count.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).resolve().parents[2]
PROBLEM = {"id": "sum", "question": "What is 1 + 2?", "answer": "3"}
SMALL = ["--population", "2", "--generations", "2", "--parents", "2", "--seed", "0"]


# ---------------------------------------------------------------- the two ways, each in a process of its own


class Answering(BaseHTTPRequestHandler):
    """A server that knows one answer."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        """The models."""
        self.reply(
            {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "me", "created": 0}]}
        )

    def do_POST(self) -> None:
        """The answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "So it is \\boxed{3}."},
        }
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        self.reply(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": "m",
                "choices": [choice],
                "usage": usage,
            }
        )

    def reply(self, body: dict[str, Any]) -> None:
        """Send JSON."""
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def serve(port: Any) -> None:
    """Serve until killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    port.put(server.server_port)
    server.serve_forever()


@contextmanager
def entered(
    root: Path, begins: Callable[[FrameType], bool], ends: Callable[[FrameType], bool]
) -> Iterator[list[str]]:
    """The files under ``root`` whose functions are called from where ``begins`` says so until ``ends`` does."""
    found: dict[str, None] = {}
    on = False

    def look(frame: FrameType, event: str, _: object) -> None:
        nonlocal on
        if event not in ("call", "return") or frame.f_code.co_name.startswith("<"):
            return
        path = frame.f_code.co_filename
        if not path.startswith(f"{root}/") or "/.venv/" in path:
            return
        on = on or (event == "call" and begins(frame))
        if on:
            found[path.removeprefix(f"{root}/")] = None
        if event == "return" and ends(frame):
            on = False

    files: list[str] = []
    threading.setprofile(look)
    sys.setprofile(look)
    try:
        yield files
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
        files += sorted(found)


def walk(root: Path, way: str) -> list[str]:
    """The files that a way enters, in this process."""
    from evolve_llm.cli.main import main

    with tempfile.TemporaryDirectory() as folder:
        problems = Path(folder) / "problems.jsonl"
        problems.write_text(json.dumps(PROBLEM) + "\n")
        model = ["--model", "scripted"]
        server = None
        if way == "completion":
            port: Any = multiprocessing.get_context("spawn").Queue()
            server = multiprocessing.get_context("spawn").Process(target=serve, args=(port,), daemon=True)
            server.start()
            os.environ["OPENAI_API_KEY"] = "none"
            url = f"http://127.0.0.1:{port.get(timeout=60)}/v1"
            model = ["--model", "openai:m", "--base-url", url]
        sys.argv = [
            "evolve-llm",
            "run",
            "--problems",
            str(problems),
            "--preset",
            "smoke",
            *SMALL,
            *model,
            "--out",
            f"{folder}/run",
        ]

        def is_asked(frame: FrameType) -> bool:
            return frame.f_code.co_name == "generate" and "openai" in frame.f_code.co_filename

        def is_stored(frame: FrameType) -> bool:
            return frame.f_code.co_name == "_flush" and "store" in frame.f_code.co_filename

        always, never = (lambda _: True), (lambda _: False)
        try:
            with entered(root, is_asked if server else always, is_stored if server else never) as files:
                try:
                    main()
                except SystemExit as exit:
                    if exit.code not in (0, None):
                        raise
        finally:
            if server is not None:
                server.kill()
    return files


def walked(root: Path, way: str) -> list[str]:
    """``walk`` in a fresh process that imports the checkout at ``root``."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.pathsep.join([installed(root, Path(folder)), *sources(root)])
        out = Path(folder) / "files.json"
        subprocess.run(
            [sys.executable, __file__, "--root", str(root), "--walk", way, "--files", str(out)],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )
        found: list[str] = json.loads(out.read_text())
    return found


def sources(root: Path) -> list[str]:
    """The folders of a checkout that packages are imported from."""
    inner = [root / name for name in ("operators", "problems") if not list((root / name).glob("*.py"))]
    return [str(root), *map(str, inner)]


def installed(root: Path, folder: Path) -> str:
    """A folder that makes the checkout's entry points those of the distribution, whatever else is installed."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    info = folder / "site" / f"evolve_llm-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: evolve-llm\nVersion: {project['version']}\n"
    )
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in names.items())
        for group, names in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    return str(folder / "site")


# ---------------------------------------------------------------- the picture


def part_of(module: str) -> str:
    """The part of ``evolve_llm`` a module belongs to."""
    return ".".join(module.split(".")[:2])


def arrows(root: Path) -> dict[tuple[str, str], int]:
    """From part to part, in how many module imports."""
    for folder in sources(root):
        sys.path.insert(0, folder)
    import grimp

    graph = grimp.build_graph("evolve_llm", cache_dir=None)
    found: dict[tuple[str, str], int] = {}
    for module in sorted(graph.modules):
        for other in sorted(graph.find_modules_directly_imported_by(module)):
            pair = part_of(module), part_of(other)
            if pair[0] != pair[1] and "evolve_llm" not in pair:
                found[pair] = found.get(pair, 0) + 1
    return found


NODE = (
    'shape=box, style="rounded,filled", fillcolor="#eef2f7", color="#94a3b8", fontname=Helvetica, fontsize=11, '
    'height=0.28, margin="0.08,0.03"'
)


def drawn(found: dict[tuple[str, str], int], root: Path) -> str:
    """The arrows as an SVG, by graphviz; folders in blue."""
    names = sorted({one for pair in found for one in pair})
    shown = {one: one.split(".")[1] + "/" * (root / one.replace(".", "/")).is_dir() for one in names}
    lines = ["digraph layout {", 'ranksep=0.45; nodesep=0.14; bgcolor="transparent";', f"node [{NODE}];"]
    lines.append('edge [color="#64748b", arrowsize=0.5, penwidth=0.7];')
    lines += [f'"{one}" [fillcolor="#dbeafe"];' for one in shown.values() if one.endswith("/")]
    lines += [f'"{shown[start]}" -> "{shown[end]}";' for start, end in sorted(found)]
    lines.append("}")
    made = subprocess.run(
        ["dot", "-Tsvg"], input="\n".join(lines), capture_output=True, text=True, check=True
    )
    return re.sub(r"<!--.*?-->\n?", "", made.stdout, flags=re.DOTALL)


# ---------------------------------------------------------------- together


def lines_of(root: Path) -> dict[str, int]:
    """Python files and lines of what is shipped."""
    files = [path for name in ("evolve_llm", "operators", "problems") for path in (root / name).rglob("*.py")]
    return {"files": len(files), "lines": sum(len(path.read_text("utf-8").splitlines()) for path in files)}


def rooms_of(files: list[str]) -> int:
    """Parts of the checkout that the files lie in."""
    return len({"/".join(Path(one).with_suffix("").parts[:2]) for one in files})


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=HERE)
    parser.add_argument("--name", default="after")
    parser.add_argument("--walk", choices=("problem", "completion"), help=argparse.SUPPRESS)
    parser.add_argument("--files", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    if arguments.walk:
        arguments.files.write_text(json.dumps(walk(root, arguments.walk)))
        return
    found = arrows(root)
    report: dict[str, Any] = {"shipped": lines_of(root)}
    report["parts"] = len({one for pair in found for one in pair})
    report["arrows"] = len(found)
    for way in ("problem", "completion"):
        files = walked(root, way)
        report[way] = {"files": len(files), "parts": rooms_of(files), "entered": files}
    results = HERE / "experiments" / "layout" / "results"
    results.mkdir(exist_ok=True)
    (results / f"layout_{arguments.name}.json").write_text(json.dumps(report, indent=1) + "\n")
    for way in ("problem", "completion"):
        print(f"{way}: {report[way]['files']} files in {report[way]['parts']} parts")
    print(report["shipped"], report["parts"], "parts,", report["arrows"], "arrows")
    if shutil.which("dot"):
        (HERE / "docs" / "img" / f"layout_{arguments.name}.svg").write_text(drawn(found, root))


if __name__ == "__main__":
    main()
