"""Where the parts of a study lie in its folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from evolve_llm.study.spec import Arm, Where

PLAN, CACHE, WORK, PILOT = "study.json", "responses.db", "work.jsonl", "pilot"


def run_folder(folder: Path, where: Where, arm: Arm, seed: int) -> Path:
    """Where an arm's run lies: an ordinary run directory, which show, compare and view read."""
    return folder / "runs" / _slug(where.name) / f"{_slug(arm.name)}-seed{seed}"


def _slug(name: str) -> str:
    plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in name).lstrip("-")
    return f"{plain[:60]}-{hashlib.blake2b(name.encode(), digest_size=2).hexdigest()}"
