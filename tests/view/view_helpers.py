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


def store_run(path: Path, chains: Sequence[str], problems: int = 2, generations: int = 2) -> None:
    """A run in which every chain is born in every generation, each a child of its own and the next one."""
    asked = [Problem(f"p{i}/{chains[i]}", chains[i], grader="exact", reference="1") for i in range(problems)]
    preset = {"name": "made", "population": len(chains), "parents": 2, "generations": generations}
    config = {"preset": preset, "model": "made", "seed": 0, "problems": {"count": problems}}
    with Store.open_for_run(path, config, {}, asked) as store:
        asyncio.run(_fill(store, asked, chains, generations))


async def _fill(store: Store, problems: Sequence[Problem], chains: Sequence[str], generations: int) -> None:
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
                made = Completion(text=text, finish_reason="stop", prompt_tokens=3, completion_tokens=7)
                await store.put(place, Address(generation, slot, "vary", 0), "digest", 1, made)
            verdicts = {
                one.answer: Verdict(Grade.CORRECT if one.slot else Grade.INCORRECT, "made") for one in members
            }
            last = generation == generations - 1
            store.put_generation(place, generation, members, members, verdicts, members[-1], last=last)
