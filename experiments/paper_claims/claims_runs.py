"""The runs of the study: presets of the product, with overrides only where a claim asks for them."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolve_llm import Candidate, Problem, Run, evaluation, evolve

FLY = Path(__file__).parents[1] / "fruit_fly"
PROBLEM_SEED = 101
"""Not 7, which was looked at while the fly was developed."""

BASE = Path(__file__).parent / "base.safetensors"
CALLS = 96
"""Calls a problem that schemes are compared at: N=16 candidates, T=6 generations."""
CHAIN = 25
"""Tokens of the longest chain, four locks and the end mark."""
SAMPLES = 256
"""Independent samples a problem: as many as the tokens of 96 calls of RSA buy (see ``results/claims.json``)."""

_VERDICT = re.compile(r"[a-d][0-9]{4}([A-D.])")


def opened(text: str) -> list[bool]:
    """A chain's own verdict on each lock it writes about; nothing else is looked at, least of all the reference."""
    return [mark != "." for mark in _VERDICT.findall(text)]


@evaluation(weights=(1.0,), oracle=False)
async def own_verdicts(problem: Problem, candidates: Sequence[Candidate], ask: Any) -> list[tuple[float]]:  # noqa: ARG001
    """How many locks the chain says it has opened."""
    return [(float(sum(opened(one.text))),) for one in candidates]


@evaluation(weights=(1.0,), oracle=False)
async def accepted(problem: Problem, candidates: Sequence[Candidate], ask: Any) -> list[tuple[float]]:  # noqa: ARG001
    """1 where the chain says that it has opened every lock, else 0."""
    return [(float(all(opened(one.text)) and one.answer is not None),) for one in candidates]


@dataclass(frozen=True)
class Arm:
    """One scheme: a preset and what is changed of it. ``seeds``: how many run seeds, from 0; ``weights``: of the
    model, by default of the fly that ships."""

    name: str
    preset: str
    change: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 3
    weights: Path | None = None


def arms() -> list[Arm]:
    """All arms, the ones that most depends on first."""
    return [
        Arm("rsa", "rsa"),
        Arm("voting", "majority-voting", {"population": SAMPLES}),
        Arm("K=1", "rsa", {"parents": 1, "generations": 6}),
        Arm("K=2", "rsa", {"parents": 2, "generations": 6}),
        Arm("N=4", "rsa", {"population": 4}),
        Arm("N=8", "rsa", {"population": 8}),
        Arm("self-refinement", "self-refinement", {"generations": 6}),
        Arm("self-aggregation", "self-aggregation", {"population": CALLS // 2}),
        Arm("base", "rsa", {"generations": 6}, weights=BASE),
        Arm("K=3", "rsa", {"parents": 3, "generations": 6}),
        Arm("K=8", "rsa", {"parents": 8, "generations": 6}),
        Arm("rejection", "rejection-sampling", {"population": CALLS, "evaluate": accepted}),
        Arm("best-of-n", "best-of-n", {"population": CALLS, "evaluate": own_verdicts}),
        Arm("N=32", "rsa", {"population": 32}, seeds=1),
        Arm("N=64", "rsa", {"population": 64}, seeds=1),
    ]


def jobs(found: Sequence[Arm], seeds: int) -> list[tuple[Arm, int]]:
    """Every arm and run seed, all arms of seed 0 first, so that a study cut short has whole seeds; the large
    populations, which have one seed, come last."""
    made = [(arm, seed) for seed in range(seeds) for arm in found if seed < arm.seeds]
    return sorted(made, key=lambda job: job[0].seeds == 1)


def folder(out: Path, arm: Arm, seed: int) -> Path:
    """Where a run lives."""
    return out / f"{arm.name.replace('=', '')}-{seed}"


def play(out: Path, arm: Arm, seed: int, problems: int) -> Run:
    """Make a run, or go on with it, or find it complete. Needs torch."""
    if str(FLY) not in sys.path:
        sys.path.append(str(FLY))
    from batched import batched_fly

    return evolve(
        f"locks?size={problems}&seed={PROBLEM_SEED}",
        arm.preset,
        batched_fly(arm.weights),
        seed=seed,
        out=folder(out, arm, seed),
        sampling={"max_tokens": CHAIN},
        **dict(arm.change),
    )
