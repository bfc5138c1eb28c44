"""How fast the pages are on large runs, what the server takes, and what a page costs the run that it shows.

``python experiments/view/measure.py`` writes ``results/pages.json``. README.md says what was expected.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright
from stored import store_run

from evolve_llm.view import report

STATIC = Path(report.__file__).with_name("static")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu"]


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """(address, process id) of a server over a folder."""
    command = [sys.executable, "-P", "-m", "evolve_llm", "view", str(folder), "--no-browser"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    line = server.stderr.readline()
    try:
        yield next(word for word in line.split() if word.startswith("http")), server.pid
    finally:
        server.terminate()
        server.wait()


def memory(process: int) -> int:
    """Resident memory of a process, in MB: now, not at its highest."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))


def pages(browser: Browser, folder: Path, name: str, problems: int) -> dict[str, Any]:
    """Seconds to each page, and the server's memory after them."""
    with served(folder) as (address, process):
        page = browser.new_context(locale="en-US", viewport={"width": 1200, "height": 900}).new_page()
        page.goto(address)
        page.wait_for_selector("main h1")
        root = address.split("?")[0]

        def shown(where: str, selector: str) -> float:
            page.goto("about:blank")
            begun = time.monotonic()
            page.goto(root + where)
            page.wait_for_selector(selector)
            return time.monotonic() - begun

        run = [shown(f"#/run/{name}", ".curve") for _ in range(5)]
        found = {"run_page_seconds": _middle(run)}
        places = [problems * i // 12 for i in range(1, 12)]
        found["problem_page_seconds"] = _middle([shown(f"#/run/{name}/problem/{i}", ".mark") for i in places])
        switches = []
        for i in places:  # without loading the page anew
            begun = time.monotonic()
            page.evaluate("(where) => { location.hash = where; }", f"#/run/{name}/problem/{i}")
            page.wait_for_function(
                "(id) => document.querySelector('h1')?.textContent === id", arg=f"made/{i}"
            )
            switches.append(time.monotonic() - begun)
        found["switch_problem_seconds"] = _middle(switches)
        found["candidate_page_seconds"] = _middle(
            [shown(f"#/run/{name}/candidate/{i}/1.1", "#text") for i in places]
        )
        found["turn_the_page_seconds"] = _middle(
            [shown(f"#/run/{name}/from/{50 * (i // 50)}", "tbody tr") for i in places[:5]]
        )
        found["server_memory_mb"] = memory(process)
        page.context.close()
    return found


def watched(browser: Browser, folder: Path, repeats: int, size: int) -> dict[str, Any]:
    """Seconds of a fly's run alone and while a page is open on it, in turn."""
    seconds: dict[str, list[float]] = {"alone": [], "watched": []}
    for repeat in range(repeats):
        for how in ("alone", "watched")[:: 1 if repeat % 2 else -1]:
            out = folder / f"{how}{repeat}"
            command = [sys.executable, "-P", "-m", "evolve_llm", "run", "--model", "fly", "--out", str(out)]
            with contextlib.ExitStack() as stack:
                if how == "watched":
                    address, _ = stack.enter_context(served(folder))
                    page = browser.new_context(locale="en-US").new_page()
                    page.goto(address)
                begun = time.monotonic()
                run = subprocess.Popen(
                    [*command, "--problems", f"locks?size={size}"],
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                if how == "watched":
                    while not (out / "run.db").exists():
                        time.sleep(0.05)
                    page.goto(f"{address.split('?')[0]}#/run/{how}{repeat}")
                assert run.wait() == 0
                seconds[how].append(round(time.monotonic() - begun, 2))
                if how == "watched":
                    page.context.close()
    ratios = [b / a for a, b in zip(seconds["alone"], seconds["watched"], strict=True)]
    return {
        **seconds,
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(one, 3) for one in ratios],
    }


def sizes(run: Path, folder: Path) -> dict[str, int]:
    """Bytes of what ships and of reports."""
    found = {one.name: one.stat().st_size for one in sorted(STATIC.iterdir())}
    for texts in ("none", "answers"):
        found[f"report, texts {texts}"] = report.write([run], folder / "report.html", texts)  # type: ignore[arg-type]
    return found


def _middle(values: list[float]) -> float:
    return round(statistics.median(values), 3)


def main() -> None:
    """Measure, and write what came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="small runs, to try the script")
    small = parser.parse_args().small
    wide, many = (
        ((20, 3, 8, 1000), (200, 3, 8, 100)) if small else ((200, 10, 16, 10_000), (10_000, 3, 8, 200))
    )
    folder = Path(tempfile.mkdtemp())
    found: dict[str, Any] = {"machine": f"{os.cpu_count()} cores, {platform.machine()}, no GPU"}
    try:
        for name, shape in (("wide", wide), ("many", many)):
            store_run(folder / name / name, *shape)
        with sync_playwright() as player:
            browser = player.chromium.launch(
                executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"), args=FLAGS
            )
            for name, shape in (("wide", wide), ("many", many)):
                shown = " x ".join(str(one) for one in shape[:3])
                found[f"{shown}, {shape[3]:,} characters each"] = pages(
                    browser, folder / name, name, shape[0]
                )
            (folder / "fly").mkdir()
            found["a run with and without a page"] = watched(
                browser, folder / "fly", 1 if small else 6, 12 if small else 60
            )
            browser.close()
        found["bytes"] = sizes(folder / "wide" / "wide", folder)
    finally:
        shutil.rmtree(folder)
    text = json.dumps(found, indent=2)
    print(text)
    if not small:
        (Path(__file__).parent / "results" / "pages.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
