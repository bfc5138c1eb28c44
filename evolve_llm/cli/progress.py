"""The live picture of a run: one line a generation and one for it all, on standard error, when that is a terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evolve_llm.analysis.metrics import Average, largest_share, measure
from evolve_llm.backends.base import (
    Backend,
    Completion,
    Load,
    ModelInfo,
    Prompt,
    Request,
    load_of,
    token_starts,
)
from evolve_llm.cli.console import console
from evolve_llm.cli.sparkline import course, duration
from evolve_llm.cli.tables import make_table, share, styled
from evolve_llm.nouns.errors import RequestError

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from evolve_llm.engine.evolution import Generation
    from evolve_llm.session.session import Session

_LINES = 16


@dataclass(slots=True)
class Line:
    """One generation. ``stored`` came from an earlier session; the rest counts this one.

    ``right`` is pass@1 over the problems that have finished it, and ``agreed`` the share of the largest answer class;
    they are shown where nothing came from an earlier session.
    """

    total: int
    stored: int = 0
    copied: int = 0
    asked: int = 0
    running: int = 0
    failed: int = 0
    tokens: int = 0
    since: float = 0.0
    last: float = 0.0
    problems: int = 0
    complete: bool = False
    right: Average = field(default_factory=Average)
    agreed: Average = field(default_factory=Average)

    @property
    def done(self) -> int:
        """The number of candidates that exist, stored ones included."""
        return self.total if self.complete else min(self.total, self.stored + self.copied + self.asked)

    @property
    def seconds(self) -> float:
        """How long this generation has been under way in this session."""
        return (time.monotonic() if self.running else self.last) - self.since if self.since else 0.0


class Progress:
    """Counts of a run in progress. ``watch`` puts it between the session and its model."""

    def __init__(self, session: Session) -> None:
        preset = session.scheme.preset
        self.count = len(session.items)
        self.sizes = [preset.first] + [session.scheme.children] * (preset.generations - 1)
        self.lines = [Line(self.count * size) for size in self.sizes]
        self._session = session
        session.backend = _Watched(session.backend, self)

    def resume(self, stored: dict[int, int], finished: int) -> None:
        """Take over what an earlier session left: candidates by generation, and finished problems."""
        for index, line in enumerate(self.lines):
            line.stored = stored.get(index, 0)
            line.problems = finished
            line.complete = finished == self.count

    def finish(self, generation: Generation) -> None:
        """Count a finished generation of one problem."""
        line = self.lines[generation.index]
        line.copied += sum(one.copied and one.generation == generation.index for one in generation.members)
        line.problems += 1
        line.complete = line.problems == self.count
        line.right.add(measure(generation.members, generation.verdicts).pass_1)
        line.agreed.add(largest_share(generation.members))
        scheme = self._session.scheme
        if not generation.last and scheme.replacement.narrows:
            children = scheme.children_of(len(generation.members))
            self.lines[generation.index + 1].total -= self.sizes[generation.index + 1] - children
        if generation.last:  # a stopping rule may end a problem early
            for later, size in zip(
                self.lines[generation.index + 1 :], self.sizes[generation.index + 1 :], strict=True
            ):
                later.total -= size
                later.problems += 1
                later.complete = later.problems == self.count

    def table(self) -> Table:
        """The picture of now. Called from Rich's refresh thread: it only reads numbers."""
        from rich.progress_bar import ProgressBar

        graded = self._shown("right")
        columns = ("gen", "", "done", *(["pass@1"] if graded else []), "running", "failed", "tokens/s", "ETA")
        table = make_table([(name, "right" if name else "left") for name in columns])
        first = next((i for i, line in enumerate(self.lines) if not line.complete), len(self.lines))
        start = max(0, min(first - 2, len(self.lines) - _LINES))
        for index, line in list(enumerate(self.lines))[start : start + _LINES]:
            speed = line.tokens / line.seconds if line.seconds > 0 else 0.0
            table.add_row(
                str(index),
                ProgressBar(total=line.total, completed=line.done, width=24),
                f"{line.done}/{line.total}",
                *([share(line.right.mean)] if graded else []),
                str(line.running),
                str(line.failed),
                f"{speed:,.0f}" if speed else "-",
                _eta(line),
            )
        return table

    def _shown(self, which: str) -> bool:
        counted = any(getattr(line, which).count for line in self.lines)
        return counted and not any(line.stored for line in self.lines)

    def summary(self) -> str:
        """The run in one line: its course, what is in flight, how fast it goes, and what of the budget is spent."""
        name, which = ("pass@1", "right") if self._shown("right") else ("largest class", "agreed")
        parts = (
            [course(name, [getattr(line, which).mean for line in self.lines])] if self._shown(which) else []
        )
        parts.append(f"{sum(line.running for line in self.lines)} in flight")
        begun = min((line.since for line in self.lines if line.since), default=0.0)
        seconds = time.monotonic() - begun if begun else 0.0
        asked, tokens = sum(line.asked for line in self.lines), sum(line.tokens for line in self.lines)
        if seconds > 0 and tokens:
            parts.append(f"{tokens / seconds:,.0f} tokens/s")
        meter = self._session.evolution.meter if self._session.evolution is not None else None
        if meter is not None and meter.budget is not None:
            parts.append(
                f"{meter.spent:,} of {meter.budget:,} tokens spent ({meter.spent / meter.budget:.0%})"
            )
        left = sum(line.total - line.done for line in self.lines)
        if asked and left > 0:
            parts.append(f"ETA {duration(left * seconds / asked)}")
        return " · ".join(parts)

    def picture(self) -> Group:
        """The table, and the line below it."""
        from rich.console import Group

        return Group(self.table(), styled(self.summary(), "dim"))

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """Show the picture while the body runs, where standard error is a terminal."""
        from rich.live import Live

        screen = console(stderr=True)
        if not screen.is_terminal:
            yield
            return
        with Live(
            get_renderable=self.picture, console=screen, refresh_per_second=4, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        ):  # fmt: skip
            yield


def _eta(line: Line) -> str:
    if line.complete or line.done >= line.total:
        return "done"
    if not line.asked or line.seconds <= 0:
        return "-"
    return duration((line.total - line.done) * line.seconds / line.asked)


class _Watched:
    """A backend that counts what passes through it, by the generation in the request's address."""

    def __init__(self, inner: Backend, progress: Progress) -> None:
        self.identity = inner.identity
        self.capacity = inner.capacity
        self._inner = inner
        self._progress = progress

    async def start(self) -> ModelInfo:
        info = await self._inner.start()
        self.capacity = self._inner.capacity
        return info

    async def generate(self, request: Request) -> Completion:
        address = request.address
        line = self._progress.lines[address.generation]
        born = address.purpose == "vary" and address.call == 0
        line.since = line.since or time.monotonic()
        line.running += 1
        try:
            completion = await self._inner.generate(request)
        except RequestError:
            line.failed += 1
            line.asked += born
            raise
        else:
            line.asked += born
            line.tokens += completion.completion_tokens
            return completion
        finally:
            line.running -= 1
            line.last = time.monotonic()

    async def count_tokens(self, prompt: Prompt) -> int:
        return await self._inner.count_tokens(prompt)

    async def token_starts(self, text: str) -> Sequence[int] | None:
        return await token_starts(self._inner, text)

    async def load(self) -> Load | None:
        return await load_of(self._inner)

    async def close(self) -> None:
        await self._inner.close()
