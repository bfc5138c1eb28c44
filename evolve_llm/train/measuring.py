"""The metrics of a training, by kind of prompt: a line of JSON a step."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve_llm.basics.whole_file import write_whole
from evolve_llm.nouns.errors import StoreError

FILE = "metrics.jsonl"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a step's metrics need of one reply. ``reward`` is None where it could not be graded.

    ``group``: which replies are compared with one another.
    """

    kind: str
    reward: float | None
    tokens: int
    truncated: bool
    group: str = ""


def by_kind(replies: Sequence[Reply]) -> dict[str, float]:
    """The metrics of replies, by kind and name.

    ``zero_variance`` is the share of groups whose graded replies have all the same reward, so that nothing is learnt
    from them; ``ungraded`` and ``truncated`` are shares of replies.
    """
    found: dict[str, float] = {}
    for kind in sorted({one.kind for one in replies}):
        some = [one for one in replies if one.kind == kind]
        groups = [[one for one in some if one.group == name] for name in sorted({one.group for one in some})]
        rewards = [one.reward for one in some if one.reward is not None]
        flat = sum(len({one.reward for one in group if one.reward is not None}) < 2 for group in groups)
        if rewards:
            found[f"reward/{kind}"] = sum(rewards) / len(rewards)
        found[f"zero_variance/{kind}"] = flat / len(groups)
        found[f"tokens/{kind}"] = sum(one.tokens for one in some) / len(some)
        found[f"truncated/{kind}"] = sum(one.truncated for one in some) / len(some)
        found[f"ungraded/{kind}"] = sum(one.reward is None for one in some) / len(some)
    return found


class Metrics:
    """The file of metrics of one training. It holds each step once, whatever was interrupted between."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def read(self) -> list[dict[str, Any]]:
        """The lines so far. A line that was cut by the end of the process is left out."""
        if not self.path.is_file():
            return []
        found = []
        for line in self.path.read_text("utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        return found

    def begin(self, step: int) -> None:
        """Forget what came after a step: training goes on from there."""
        kept = [one for one in self.read() if one["step"] <= step]
        write_whole(self.path, "".join(json.dumps(one) + "\n" for one in kept))

    def add(self, line: dict[str, Any]) -> None:
        """Write one step. Raises StoreError where the disk is full."""
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in line.items()
        }
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(finite) + "\n")
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {error.strerror or error}") from error
