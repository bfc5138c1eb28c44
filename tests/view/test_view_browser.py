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
from view_helpers import HOSTILE, TEX

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


PAGES = [
    *("#/", "#/runs/hostile", "#/run/hostile", "#/run/hostile/problem/0", "#/run/hostile/problem/1/1.3"),
    *("#/run/hostile/candidate/0/1.7", "#/compare/hostile/other", "#/nothing/of/the/kind"),
]


@pytest.mark.parametrize("where", PAGES)
def test_hostile_chains_stay_text_on_every_page(page: Any, address: str, where: str) -> None:
    _go(page, address, where)
    _is_harmless(page)


@pytest.mark.parametrize("slot", range(len(HOSTILE)))
def test_a_hostile_chain_is_read_as_it_is(page: Any, address: str, slot: int) -> None:
    _go(page, address, f"#/run/hostile/candidate/0/1.{slot}")
    assert page.evaluate("document.getElementById('text').textContent") == HOSTILE[slot]
    _is_harmless(page)


def test_a_shared_passage_has_its_parents_colour(page: Any, address: str) -> None:
    _go(page, address, "#/run/hostile/candidate/0/1.7")
    assert page.locator("#text mark.p0").inner_text() == HOSTILE[7]


def test_ancestors_light_up_and_the_address_keeps_them(page: Any, address: str) -> None:
    _go(page, address, "#/run/hostile/problem/0")
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


def test_folded_parts_are_made_when_they_are_opened(page: Any, address: str) -> None:
    for slot in range(len(HOSTILE)):
        _go(page, address, f"#/run/hostile/candidate/0/1.{slot}")
        for summary in page.locator("main summary").all():
            summary.click()
        page.wait_for_function("() => !document.body.innerText.includes('Loading …')")
        _is_harmless(page)


def test_a_question_is_set_and_stands_as_it_was_written(page: Any, address: str) -> None:
    _go(page, address, "#/run/tex/problem/0")
    assert page.locator(".set .katex").count() == 4
    assert "Tom has $5 and Ann $10" in page.locator(".set").inner_text()
    assert page.locator(".set strong").inner_text() == "How many"
    assert page.locator(".set .hljs-keyword").first.inner_text() == "def"
    page.get_by_text("As it was written").click()
    assert page.locator("main details pre").inner_text() == TEX[0]
    _is_harmless(page)


def test_a_formula_that_explodes_or_overlaps_is_kept_in_its_place(page: Any, address: str) -> None:
    for place in range(1, len(TEX)):
        _go(page, address, f"#/run/tex/problem/{place}")
        _is_harmless(page)
        box = page.locator(".set").bounding_box()
        assert box["x"] >= 0
        assert box["height"] < 900
        assert box["x"] + box["width"] <= 1200


def test_the_prompt_is_shown_as_it_was_sent(page: Any, address: str) -> None:
    _go(page, address, "#/run/tex/candidate/0/1.1")
    page.get_by_text("The prompt as it was sent").click()
    page.wait_for_selector("details h3")
    assert "Its digest is that of what the model was sent" in page.locator("details h3").inner_text()
    assert TEX[0] in page.locator("details pre").last.inner_text()


def test_runs_are_filtered_ticked_and_compared(page: Any, address: str) -> None:
    _go(page, address, "#/")
    page.locator("#filter").fill("hostile made")
    assert page.locator("tbody tr").count() == 1
    assert page.url.endswith("#/runs/hostile%20made")
    page.locator("#filter").fill("")
    page.get_by_label("compare hostile").check()
    page.get_by_label("compare other").check()
    page.get_by_role("link", name="Compare 2 runs").click()
    page.wait_for_selector(".forest")
    assert "Compared with hostile" in page.locator("h1").inner_text()
    page.locator("tbody a", has_text="incorrect").first.click()
    page.wait_for_selector(".mark")


def test_a_program_is_coloured_below_the_test_that_failed(page: Any, address: str) -> None:
    _go(page, address, "#/run/code/candidate/0/1.0")
    page.wait_for_selector(".program")
    assert page.locator(".failing").inner_text() == "f('a') gave 'b'"
    assert page.locator(".program .hljs-keyword").all_inner_texts() == ["def", "return"]
    assert page.locator(".program").inner_text().startswith("def f(x):")
    assert "Log-probabilities of its 30 tokens" in page.locator("figcaption").inner_text()
    assert page.locator(".heated .l4").count() == 15
    assert page.locator(".heated").inner_text() == page.locator("#text").inner_text()
    _is_harmless(page)


def test_a_printed_report_cuts_nothing_off(page: Any, runs: Path, tmp_path: Path) -> None:
    report.write([runs / "tex"], tmp_path / "report.html", "all")
    page.goto(f"{(tmp_path / 'report.html').as_uri()}#/run/tex/problem/0")
    page.wait_for_selector(".set")
    page.emulate_media(media="print")
    assert page.locator("header").is_hidden()
    assert page.locator(".set").evaluate("one => getComputedStyle(one).maxHeight") == "none"
    assert len(page.pdf()) > 5_000


def test_the_arrow_keys_walk_through_the_lineage(page: Any, address: str) -> None:
    _go(page, address, "#/run/hostile/problem/0")
    page.locator("[data-uid='0.2']").focus()
    for key in ("ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    assert page.locator(".mark.lit").count() == 3
    assert page.evaluate("document.activeElement.dataset.uid") == "1.3"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_the_way_of_anybody(page: Any, address: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme)
    for where in [*PAGES, "#/run/tex/problem/0", "#/run/tex/candidate/0/1.1"]:
        _go(page, address, where)
        found = Axe().run(page).response["violations"]
        grave = [
            (one["id"], one["nodes"][0]["html"][:200])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert grave == [], where


def test_the_report_opens_from_a_file_without_network(page: Any, runs: Path, tmp_path: Path) -> None:
    report.write([runs / "hostile", runs / "other"], tmp_path / "report.html", "all")
    page.context.set_offline(True)
    for where in (
        "#/",
        "#/run/hostile",
        "#/run/hostile/problem/0",
        "#/compare/hostile/other",
        *(f"#/run/hostile/candidate/0/1.{i}" for i in range(8)),
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
        _go(page, address, "#/run/fly")
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
    page.goto(f"{out.as_uri()}#/run/run/problem/0")
    page.wait_for_selector(".grids rect")
    assert page.locator(".grids rect").count() == 6
    colours = page.locator(".grids rect").evaluate_all("all => all.map(one => getComputedStyle(one).fill)")
    assert colours[:2] == ["rgb(0, 116, 217)", "rgb(255, 65, 54)"]
    page.screenshot(path=str(tmp_path / "grids.png"))
