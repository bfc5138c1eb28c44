"""The plots of a paper: curves of runs by generation, and the forest plot of a comparison. matplotlib draws them.

It is imported when a figure is asked for; the figures know nothing of the screen, and are the caller's to change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from evolve_llm.analysis.compare import Comparison
from evolve_llm.analysis.run import Run
from evolve_llm.nouns.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#8a8a8a")
"""Told apart by everybody (Okabe and Ito 2008, and two more)."""


def curves(runs: Mapping[str, Run]) -> Figure:
    """Accuracy and diversity of runs by generation, one colour a run.

    On the left pass@1 with its 95 % interval over problems, the majority dashed and pass@N dotted; on the right the
    entropy of the answer classes in bits, which stands alone where nothing is graded. Raises UserError without
    matplotlib, and for no run.
    """
    if not runs:
        raise UserError("a figure needs a run")
    rows = {name: [row.plain() for row in run.generations()] for name, run in runs.items()}
    graded = any(row["pass@1"] is not None for each in rows.values() for row in each)
    figure, axes = _figure(2 if graded else 1)
    for (name, each), colour in zip(rows.items(), _colours(len(rows)), strict=True):
        if graded:
            _accuracy(axes[0], _plainly(name), each, colour)
        _line(axes[-1], each, "entropy", label=_plainly(name), color=colour, marker="o")
    if graded:
        axes[0].set_ylim(0, 1)
        _dress(axes[0], "Correct: pass@1 (band 95 %), majority - -, pass@N ··")
    _dress(axes[-1], "Entropy of the answer classes, bits")
    axes[-1].set_ylim(bottom=0)
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def forest(found: Comparison, names: Sequence[str] | None = None) -> Figure:
    """The differences of a comparison at the end and at equal tokens, each with its 95 % interval.

    Raises UserError without matplotlib, and where nothing was estimated.
    """
    labels = list(names[1:]) if names else [one.label for one in found.contrasts]
    rows = [
        (f"{label}: {row.metric}, {'at the end' if row.moment == 'end' else row.moment}", row.estimate)
        for label, contrast in zip(labels, found.contrasts, strict=True)
        for row in contrast.rows
        if row.estimate is not None and row.moment != "generation"
    ]
    if not rows:
        raise UserError("nothing of this comparison was estimated, so there is nothing to draw")
    figure, (axes,) = _figure(1, high=0.9 + 0.32 * len(rows))
    for place, (_, one) in enumerate(reversed(rows)):
        low, high = one.interval or (one.difference, one.difference)
        colour = COLOURS[2] if low > 0 else COLOURS[1] if high < 0 else COLOURS[7]
        axes.plot([low, high], [place, place], color=colour, linewidth=1.8)
        axes.plot([one.difference], [place], marker="s", color=colour, markersize=5)
    axes.axvline(0, color="#888888", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [_plainly(name) for name, _ in reversed(rows)], fontsize=8)
    base = names[0] if names else found.baseline
    axes.set_title(
        _plainly(f"Difference from {base}, {found.problems} problems, 95 %"), fontsize=9, loc="left"
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure


class Cost(NamedTuple):
    """A point of a curve: the accuracy, and the calls, tokens and seconds that a problem took; None for no time."""

    value: float
    calls: float
    tokens: float
    seconds: float | None


def cost_curves(arms: Mapping[str, Sequence[Cost]], metric: str) -> Figure:
    """Accuracy over calls, over tokens and, where it is known, over the model's time, a line an arm.

    Raises UserError without matplotlib, and for no arm.
    """
    if not any(arms.values()):
        raise UserError("a figure needs an arm")
    timed = all(one.seconds is not None for points in arms.values() for one in points)
    axes_of = [
        ("calls a problem", 1),
        ("tokens a problem", 2),
        *([("seconds a problem", 3)] if timed else []),
    ]
    figure, axes = _figure(len(axes_of), high=3.4)
    for place, (label, field) in enumerate(axes_of):
        for number, (name, points) in enumerate(arms.items()):
            style = ("-", "--", ":", "-.")[number // len(COLOURS) % 4]
            axes[place].plot(
                [one[field] or 0.0 for one in points], [one.value for one in points], style, marker="o", markersize=2.5,
                linewidth=1.1, color=COLOURS[number % len(COLOURS)], label=_plainly(name) if place == 0 else None,
            )  # fmt: skip
        axes[place].set_xlabel(label, fontsize=9)
        axes[place].set_title(_plainly(f"{metric} at equal {label.split()[0]}"), fontsize=9, loc="left")
        axes[place].spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=7)
    return figure


def difference_forest(
    rows: Sequence[tuple[str, float, tuple[float, float] | None, str]], title: str
) -> Figure:
    """A difference a row with its interval, and what was expected of it (``+``, ``-``, ``0`` or ``?``) at the edge.

    Raises UserError without matplotlib, and for no row.
    """
    if not rows:
        raise UserError("nothing was estimated, so there is nothing to draw")
    figure, (axes,) = _figure(1, high=0.9 + 0.3 * len(rows))
    for place, (_, value, interval, _) in enumerate(reversed(rows)):
        low, high = interval or (value, value)
        colour = COLOURS[2] if low > 0 else COLOURS[1] if high < 0 else COLOURS[7]
        axes.plot([low, high], [place, place], color=colour, linewidth=1.8)
        axes.plot([value], [place], marker="s", color=colour, markersize=5)
    axes.axvline(0, color="#888888", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [_plainly(row[0]) for row in reversed(rows)], fontsize=8)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), [row[3].replace("-", "−") for row in reversed(rows)], fontsize=8)
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    right.set_ylabel("expected direction", fontsize=8)
    figure.suptitle(_plainly(title), fontsize=9, x=0.01, horizontalalignment="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _figure(columns: int, high: float = 3.2) -> tuple[Figure, Sequence[Axes]]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError('a figure needs matplotlib: pip install "evolve-llm[plots]"') from error
    figure = Figure(figsize=({1: 6.4, 2: 9.6}.get(columns, 12.0), high), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _accuracy(axes: Axes, name: str, rows: Sequence[Mapping[str, Any]], colour: str) -> None:
    _line(axes, rows, "pass@1", label=name, color=colour, marker="o")
    _line(axes, rows, "majority", color=colour, linestyle="--", linewidth=1)
    _line(axes, rows, "pass@N", color=colour, linestyle=":", linewidth=1)
    known = [row for row in rows if row["pass@1_interval"] is not None]
    low, high = ([row["pass@1_interval"][side] for row in known] for side in (0, 1))
    axes.fill_between([row["generation"] for row in known], low, high, color=colour, alpha=0.15, linewidth=0)


def _line(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, **style: Any) -> None:
    known = [row for row in rows if row[key] is not None]
    axes.plot([row["generation"] for row in known], [row[key] for row in known], markersize=3.5, **style)


def _dress(axes: Axes, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel("generation", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)


def _colours(count: int) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(count)]


def _plainly(text: str) -> str:
    """Text that matplotlib takes for text: a dollar would begin a formula."""
    return "".join(one for one in text if one.isprintable()).replace("$", r"\$")
