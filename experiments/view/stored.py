"""Runs of any size, stored without a model: chains of words, the children made of their parents' passages."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from evolve_llm.nouns.address import Address
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.record.store import Store
from evolve_llm.scheme.preset import load_preset

K = 4
WORDS = [f"word{i}" for i in range(2000)]


def store_run(path: Path, problems: int, generations: int, size: int, characters: int, seed: int = 0) -> None:
    """A run of ``problems`` x ``generations`` x ``size`` chains of about so many characters each."""
    preset = (
        load_preset("rsa").override({"population": size, "generations": generations, "parents": K}).plain()
    )
    asked = [
        Problem(f"made/{i}", f"What is ${i} + {i}$?", "boxed", "math", str(2 * i)) for i in range(problems)
    ]
    config = {"preset": preset, "model": "made", "seed": seed, "prompts": "", "problems": {"count": problems}}
    with Store.open_for_run(path, config, {}, asked) as store:
        asyncio.run(_fill(store, asked, generations, size, characters, random.Random(seed)))


async def _fill(
    store: Store, problems: list[Problem], generations: int, size: int, characters: int, rng: random.Random
) -> None:
    for place, problem in enumerate(problems):
        before: list[Candidate] = []
        for generation in range(generations):
            members = []
            for slot in range(size):
                parents = rng.sample(before, min(K, len(before)))
                right = rng.random() < 0.3 + 0.06 * generation
                answer = str(2 * place + (0 if right else rng.randrange(1, 5)))
                one = Candidate(
                    problem.id, generation, slot, "aggregate" if parents else "sample", answer=answer,
                    answer_class=answer, parents=tuple(parent.uid for parent in parents), prompt_tokens=100,
                    completion_tokens=characters // 4, text=_text(parents, characters, rng),
                )  # fmt: skip
                members.append(one)
                made = Completion(
                    one.text, finish_reason="stop", prompt_tokens=100, completion_tokens=characters // 4
                )
                await store.put(place, Address(generation, slot, "vary", 0), "digest", 1, made)
            grades = (Grade.INCORRECT, Grade.CORRECT)
            verdicts = {one.uid: Verdict(grades[one.answer == problem.reference], "made") for one in members}
            last = generation == generations - 1
            store.put_generation(
                place, generation, members, members, verdicts, members[0] if last else None, last=last
            )
            before = members


def _text(parents: list[Candidate], characters: int, rng: random.Random) -> str:
    """A text of passages: half of them from a parent, half new."""
    parts: list[str] = []
    while sum(map(len, parts)) < characters:
        source = rng.choice(parents).text.split(" ") if parents and rng.random() < 0.5 else WORDS
        start = rng.randrange(max(1, len(source) - 20))
        parts.append(" ".join(source[start : start + 20]))
    return " ".join(parts)[:characters]
