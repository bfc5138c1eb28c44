"""Runs made without a model, for the pages to show."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from evolve_llm.nouns.address import Address
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.record.store import Store

HOSTILE = (
    "<script>window.canary = 1</script>",
    '<img src=x onerror="window.canary = 1"> <svg onload="window.canary = 1">',
    "[a](javascript:window.canary=1) <a href='javascript:window.canary=1'>b</a>",
    "<style>body { display: none } * { position: fixed; inset: 0 }</style>",
    "right \u202e to left \u2066\u2067 and a null \x00 and \ufffd\ufffe",
    "x" * 1_000_000,
    "\\def\\x{\\x\\x}\\x $\\rule{9999em}{9999em}$ \\href{javascript:window.canary=1}{y}",
    "one two three four five six seven eight",
)

TEX = (
    "Let $x$ satisfy \\[x^2 - \\sqrt{3}x = 0\\] or \\(y\\). Tom has $5 and Ann $10. **How many** roots has it?\n\n"
    "| a | b |\n|---|---|\n| 1 | $\\alpha$ |\n\n```python\ndef f(x):\n    return x\n```\n<b>not bold</b>",
    "$\\def\\x{\\x\\x}\\x$ and $\\href{javascript:window.canary=1}{y}$ and $\\includegraphics{http://x.example/y.png}$",
    "$\\rule{9999em}{9999em}$ $\\raisebox{-99em}{X}\\hspace{-99em}Y$ $\\kern-999em Z$",
    "$" + "{" * 900 + "x" + "}" * 900 + "$ " + "> " * 5000 + "x",
    "![p](http://x.example/y.png) [l](javascript:window.canary=1) <img src=x onerror=window.canary=1> "
    + "$a$ " * 2000,
)
"""Questions: one as they come, and some that would explode or leave their place."""


def store_run(
    path: Path, chains: Sequence[str], problems: int = 2, generations: int = 2, wrong: int = 0, form: str = "text",
    detail: str = "",
) -> None:  # fmt: skip
    """A run in which every chain is born in every generation, each a child of its own and the next one.

    All are correct but the one in the slot ``wrong``; the last one answers.
    """
    asked = [Problem(f"p{i}/{chains[i]}", chains[i], form, "exact", "1") for i in range(problems)]
    preset = {
        "name": "made" + "!" * wrong,
        "population": len(chains),
        "parents": 2,
        "generations": generations,
    }
    config = {"preset": preset, "model": "made", "seed": 0, "prompts": "", "problems": {"count": problems}}
    with Store.open_for_run(path, config, {}, asked) as store:
        asyncio.run(_fill(store, asked, chains, generations, wrong, detail))


async def _fill(
    store: Store,
    problems: Sequence[Problem],
    chains: Sequence[str],
    generations: int,
    wrong: int,
    detail: str,
) -> None:
    count = len(chains)
    for place, problem in enumerate(problems):
        for generation in range(generations):
            members = []
            for slot, text in enumerate(chains):
                parents = (f"{generation - 1}.{slot}", f"{generation - 1}.{(slot + 1) % count}")
                one = Candidate(
                    problem.id, generation, slot, "made", text=text, answer=text[:50], answer_class=text[:50],
                    parents=parents if generation else (), completion_tokens=7,
                )  # fmt: skip
                members.append(one)
                made = Completion(text=text, finish_reason="stop", prompt_tokens=3, completion_tokens=7,
                                  logprobs=(-0.01, -3.0) * (len(text) // 2) if detail else ())  # fmt: skip
                await store.put(place, Address(generation, slot, "vary", 0), "digest", 1, made)
            verdicts = {
                one.uid: Verdict(
                    Grade.INCORRECT if one.slot == wrong else Grade.CORRECT, "made", detail=detail
                )
                for one in members
            }
            last = generation == generations - 1
            store.put_generation(place, generation, members, members, verdicts, members[-1], last=last)
