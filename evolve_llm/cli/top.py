"""``evolve-llm top``: watch a run that another process makes."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolve_llm.cli.failures import reported

if TYPE_CHECKING:
    from rich.console import Group

WINDOW = 30.0
"""Seconds over which the speed is measured."""
PATIENCE = 10.0
"""A look comes no oftener than this many times what the last one took, so that watching stays cheap."""


@dataclass(slots=True)
class Watch:
    """What is seen of a run from outside, look by look."""

    path: Path
    config: Mapping[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    finished: int = 0
    begun: int = 0
    tokens: int = 0
    seen: deque[tuple[float, int, int]] = field(default_factory=deque)  # (when, chains, tokens)

    @property
    def problems(self) -> int:
        """How many the run has."""
        return int(self.config["problems"]["count"])

    @property
    def complete(self) -> bool:
        """Whether every problem has its answer."""
        return self.finished == self.problems

    def look(self, now: float) -> None:
        """Read how far the run is. ``now`` in seconds, on a clock that never goes back."""
        from evolve_llm.record.paging import PagedReader

        with PagedReader(self.path) as reader:
            _, chains = reader.progress()
            self.rows, self.tokens = reader.by_generation(), reader.spent()
            self.finished, self.begun = len(reader.finished()), len(reader.begun())
        self.seen.append((now, chains, self.tokens))
        while len(self.seen) > 2 and now - self.seen[0][0] > WINDOW:
            self.seen.popleft()

    def speed(self) -> tuple[float, float]:
        """Chains and tokens a second, as far back as is remembered; zeros after a first look."""
        (first, done, spent), (last, done_now, spent_now) = self.seen[0], self.seen[-1]
        seconds = last - first
        return ((done_now - done) / seconds, (spent_now - spent) / seconds) if seconds > 0 else (0.0, 0.0)

    def summary(self) -> str:
        """The run in one line."""
        from evolve_llm.cli.sparkline import course, duration

        graded = any(row["accuracy"] is not None for row in self.rows)
        parts = [course("pass@1", [row["accuracy"] for row in self.rows])] if graded else []
        parts.append(f"{self.finished} of {self.problems} problems finished")
        if not self.complete:
            parts.append(f"{self.begun - self.finished} under way")
        parts.append(f"{self.tokens:,} tokens")
        asked, tokens = self.speed()
        if asked > 0 and not self.complete:
            parts.append(f"{tokens:,.0f} tokens/s")
            preset = self.config["preset"]
            children = preset.get("offspring") or preset["population"]
            first = preset.get("initial") or preset["population"]
            expected = self.problems * (first + children * (preset["generations"] - 1))
            left = expected - self.seen[-1][1]
            if left > 0 and preset.get("evaluate") is None and not preset.get("stop"):
                parts.append(f"ETA {duration(left / asked)}")
        elif not self.complete and len(self.seen) > 1:
            parts.append("nothing new: it may have stopped")
        return " · ".join(parts)

    def picture(self) -> Group:
        """Its generations as a table, and the line below it."""
        from rich.console import Group

        from evolve_llm.cli.tables import make_table, share, styled
        from evolve_llm.cli.text import one_line

        title = f"{self.config['preset']['name']} on {self.config['model']}, seed {self.config['seed']}: {self.path}"
        columns = ("gen", "problems", "pass@1", "pass@N", "majority", "classes", "truncated", "failed")
        table = make_table([(name, "right") for name in columns])
        for row in self.rows:
            table.add_row(*_cells(row, share))
        return Group(styled(one_line(title, 200), "bold"), table, styled(self.summary(), "dim"))


def _cells(row: Mapping[str, Any], share: Any) -> Sequence[str]:
    accuracies = [share(row[key]) for key in ("accuracy", "any_correct", "majority")]
    return [
        *(str(row["generation"]), str(row["problems"]), *accuracies, f"{row['classes']:.1f}"),
        *(str(row["truncated"]), str(row["failed"])),
    ]


@reported
def top(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.", show_default=False)],
    *,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="The least time between two looks.")
    ] = 1.0,
) -> None:
    """Watch a run that another process makes, until it is complete. Nothing is changed. Ctrl-C ends the watching.

    Where the output is no terminal, or the run is complete, it is shown once.
    """
    from rich.live import Live

    from evolve_llm.cli.console import console
    from evolve_llm.nouns.errors import StoreError, UserError
    from evolve_llm.record.run_files import read_run_json

    if not (run / "run.json").is_file():
        raise UserError(f"{run} is not a run directory (it has no run.json)")
    watch, screen = Watch(run, read_run_json(run)["config"]), console()
    watch.look(time.monotonic())
    if watch.complete or not screen.is_terminal:
        screen.print(watch.picture())
        return
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(watch.picture(), console=screen, auto_refresh=False) as live,
    ):
        while not watch.complete:
            begun = time.monotonic()
            with contextlib.suppress(
                StoreError
            ):  # being created, or compacted at its end: the next look will tell
                watch.look(begun)
            live.update(watch.picture(), refresh=True)
            time.sleep(max(every, PATIENCE * (time.monotonic() - begun)))
