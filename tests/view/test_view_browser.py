"""The pages in Debian's Chromium: a fly's run watched live, and hostile chains that stay text."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from view_helpers import HOSTILE

from evolve_llm.view import report

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def _needed() -> None:
    if CHROMIUM is None:
        why = "NO BROWSER: the pages were not tried; apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        warnings.warn(why, stacklevel=1)
        pytest.skip(why)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all tests."""
    _needed()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails its test if anything was said on its console, or asked of another host."""
    context = browser.new_context(locale="en-US", viewport={"width": 1200, "height": 900})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda one: said.append(one.text) if one.type in ("error", "warning") else None)
    page.on("pageerror", lambda one: said.append(str(one)))
    page.on(
        "request",
        lambda one: (
            None
            if "//127.0.0.1:" in one.url or one.url.startswith(("data:", "file:"))
            else said.append(one.url)
        ),
    )
    page.set_default_timeout(60_000)
    yield page
    context.close()
    assert said == []


def _serve(folder: Path) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-P", "-m", "evolve_llm", "view", str(folder), "--no-browser"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stderr is not None
    line = server.stderr.readline()
    assert "http://127.0.0.1:" in line, line
    return server, next(word for word in line.split() if word.startswith("http"))


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    """The address of a server over the stored runs."""
    _needed()
    server, address = _serve(runs)
    yield address
    server.terminate()
    server.wait(20)


def _go(page: Any, address: str, where: str) -> None:
    page.goto(address)
    page.wait_for_selector("main h1")
    page.goto("about:blank")  # else the heading of the page before is taken for this one's
    page.goto(address.split("?")[0] + where)
    page.wait_for_selector("main h1")


def _is_harmless(page: Any) -> None:
    assert page.evaluate("window.canary") is None
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.locator("main script, main style, main img, main iframe, main [onerror]").count() == 0
    assert page.locator("main a[href]").evaluate_all(
        "all => all.every((one) => one.getAttribute('href').startsWith('#/'))"
    )


@pytest.mark.parametrize("where", ["#/", "#/hostile", "#/hostile/problem/0", "#/hostile/problem/1/1.3"])
def test_hostile_chains_stay_text_on_every_page(page: Any, address: str, where: str) -> None:
    _go(page, address, where)
    _is_harmless(page)


@pytest.mark.parametrize("slot", range(len(HOSTILE)))
def test_a_hostile_chain_is_read_as_it_is(page: Any, address: str, slot: int) -> None:
    _go(page, address, f"#/hostile/candidate/0/1.{slot}")
    assert page.evaluate("document.getElementById('text').textContent") == HOSTILE[slot]
    _is_harmless(page)


def test_a_shared_passage_has_its_parents_colour(page: Any, address: str) -> None:
    _go(page, address, "#/hostile/candidate/0/1.7")
    assert page.locator("#text mark.p0").inner_text() == HOSTILE[7]


def test_ancestors_light_up_and_the_address_keeps_them(page: Any, address: str) -> None:
    _go(page, address, "#/hostile/problem/0")
    page.locator("[data-uid='1.2']").click()
    lit = page.locator(".mark.lit").evaluate_all("all => all.map((one) => one.dataset.uid)")
    assert sorted(lit) == ["0.2", "0.3", "1.2"]
    page.reload()
    page.wait_for_selector(".mark.lit")
    page.get_by_role("link", name="Read candidate 1.2").click()
    page.wait_for_selector("#text")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/1.3")
    page.go_back()
    page.go_back()
    page.wait_for_selector(".mark.lit")


def test_the_report_opens_from_a_file_without_network(page: Any, runs: Path, tmp_path: Path) -> None:
    report.write([runs / "hostile"], tmp_path / "report.html", "all")
    page.context.set_offline(True)
    for where in (
        "#/",
        "#/hostile",
        "#/hostile/problem/0",
        *(f"#/hostile/candidate/0/1.{i}" for i in range(8)),
    ):
        page.goto("about:blank")
        page.goto((tmp_path / "report.html").as_uri() + where)
        page.wait_for_selector("main h1")
        _is_harmless(page)
    assert page.locator("#text mark.p0").inner_text() == HOSTILE[7]


@pytest.mark.model
def test_a_flys_run_is_watched_live(page: Any, tmp_path: Path) -> None:
    _needed()
    out = tmp_path / "runs" / "fly"
    out.parent.mkdir()
    command = [sys.executable, "-P", "-m", "evolve_llm", "run", "--model", "fly", "--out", str(out)]
    command += ["--problems", "locks?size=6"]
    server, address = _serve(out.parent)
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (out / "run.db").exists():
            assert run.poll() is None
            page.wait_for_timeout(100)
        _go(page, address, "#/fly")
        page.evaluate("window.unloaded = false")
        before = page.locator(".point").count()
        page.wait_for_function("(before) => document.querySelectorAll('.point').length > before", arg=before)
        assert page.evaluate("window.unloaded") is False  # the page was not loaded anew
    finally:
        page.goto("about:blank")  # before its stream ends
        run.terminate()
        run.wait(60)
        server.terminate()
        server.wait(20)


def test_grids_are_drawn_in_colours(page: Any, tmp_path: Path) -> None:
    from evolve_llm import evolve
    from evolve_llm.nouns.problem import Problem

    task = Problem("g", "Input:\n1 2 0\n3 4 0\nWhat next?", "grid", "grid", [[4, 3, 0], [2, 1, 0]])
    run = evolve([task], "rsa", "scripted", out=tmp_path / "run", population=2, parents=1, generations=2)
    out = tmp_path / "grids.html"
    report.write([run.path], out, texts="all")
    page.goto(f"{out.as_uri()}#/run/problem/0")
    page.wait_for_selector(".grids rect")
    assert page.locator(".grids rect").count() == 6
    colours = page.locator(".grids rect").evaluate_all("all => all.map(one => getComputedStyle(one).fill)")
    assert colours[:2] == ["rgb(0, 116, 217)", "rgb(255, 65, 54)"]
    page.screenshot(path=str(tmp_path / "grids.png"))
