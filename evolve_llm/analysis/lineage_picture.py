"""The lineage of one problem as an SVG picture: a pure function from graph to text.

Generations run from left to right; a box is a candidate, its colour the answer, a dark frame a correct one, and the
lines the descent of the answer, the stronger the more of it came that way. What is drawn where is worked out here;
how it is written stands in ``templates/lineage.svg``, which escapes whatever it inserts. Everything a model or a
problem file wrote is also cut short (invariant I9); the picture holds no script, no link and no foreign element.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jinja2
import networkx as nx

from evolve_llm.analysis.lineage import contributions, legal, short

Sorting = Literal["answer", "slot"]

# Okabe and Ito's colours for all kinds of colour vision (2008), lightened where black text stands on them
_COLOURS = ("#56b4e9", "#e69f00", "#3fb58f", "#e48fc0", "#f2e25c", "#e58a4f", "#7f9fe0", "#b8a0d8")
_OTHER, _NOTHING, _FAILED = "#c9ced6", "#ffffff", "#f3f4f6"
_INKS = {
    "ink": "#1f2937",
    "grey": "#6b7280",
    "line": "#9ca3af",
    "right": "#111827",
    "descent": "#334155",
    "other": _OTHER,
}

_COLUMN, _LEFT, _TOP, _LEGEND = 144, 28, 84, 262
_TALLEST, _ROW, _TEXT_ROW = 900, 30, 20  # pixels; rows lower than the last hold no text


def _environment() -> jinja2.Environment:
    folder = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=folder, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "short": lambda text, limit: legal(short(text, limit)),
        "g": lambda number: f"{number:g}",
        "f": lambda number: f"{number:.1f}",
    }
    return environment


_ENVIRONMENT = _environment()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one candidate is drawn: its middle."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class _Scale:
    """Sizes that follow from how many candidates a layer holds."""

    row: float

    @property
    def labelled(self) -> bool:
        """Whether a box is high enough for a text."""
        return self.row >= _TEXT_ROW

    @property
    def width(self) -> float:
        """Of a box."""
        return 78.0 if self.labelled else 26.0

    @property
    def height(self) -> float:
        """Of a box."""
        return self.row - (6 if self.labelled else 1.5)


def to_svg(graph: nx.DiGraph[str], title: str = "", *, order: Sorting = "answer") -> str:
    """A picture of ``Run.lineage(problem)``.

    ``order`` within a generation: by ``answer``, the run's own first and then the most frequent, which shows how
    one takes over, or by ``slot``, which shows islands and neighbourhoods. Legible to about 40 candidates a
    generation; beyond, boxes lose their text.
    """
    names = _class_names(graph)
    layers = _layers(graph)
    rank = {name: place for place, name in enumerate([*names, None])}
    tallest = max((len(layer) for layer in layers), default=1)
    scale = _Scale(max(5.0, min(float(_ROW), _TALLEST / tallest)))
    places: dict[str, _Place] = {}
    for index, layer in enumerate(layers):
        if order == "answer":
            layer = sorted(layer, key=lambda one: (rank[graph.nodes[one]["answer_class"]], _slot(graph, one)))
        offset = _TOP + 14 + (tallest - len(layer)) * scale.row / 2
        for number, name in enumerate(layer):
            places[name] = _Place(_middle(index), offset + (number + 0.5) * scale.row)
    body = _LEFT + 44 + len(layers) * _COLUMN
    bottom = _TOP + 14 + tallest * scale.row
    shares = contributions(graph)
    faint, strong = _lines(graph, places, shares, scale)
    return (
        _ENVIRONMENT.get_template("lineage.svg").render(
            title=title,
            wide=body + _LEGEND,
            high=max(bottom + 56, _TOP + 30 + 26 * (min(len(names), 8) + 7)),
            left=_LEFT,
            top=_TOP,
            bottom=bottom,
            headings=[_heading(graph, index, layer) for index, layer in enumerate(layers)],
            faint=faint,
            strong=strong,
            boxes=[_box(graph, name, place, names, shares, scale) for name, place in places.items()],
            width=scale.width,
            height=scale.height,
            radius=min(7.0, scale.height / 2),
            thick=2.2 if scale.labelled else 1.2,
            labelled=scale.labelled,
            legend={
                "x": body + 24,
                "rows": _legend(graph, names),
                "answered": any(answered for _, answered in graph.nodes(data="is_answer")),
            },
            **_INKS,
        )
        + "\n"
    )


def _layers(graph: nx.DiGraph[str]) -> list[list[str]]:
    """Candidates by generation; a concluding one, whose parents are of its own generation, in a layer after."""
    layers: dict[int, list[str]] = {}
    for name, data in graph.nodes(data=True):
        own = data["generation"]
        concluding = any(
            graph.nodes[parent]["generation"] == own for parent in data["parents"] if parent in graph
        )
        layers.setdefault(own + concluding, []).append(name)
    return [
        sorted(layers.get(index, []), key=lambda one: _slot(graph, one))
        for index in range(max(layers, default=-1) + 1)
    ]


def _class_names(graph: nx.DiGraph[str]) -> list[str]:
    """Answer classes, the answer's own first, then by votes; ties in order of birth."""
    given = (data["answer_class"] for _, data in graph.nodes(data=True))
    votes: Counter[str] = Counter(name for name in given if name is not None)
    answer = next((data["answer_class"] for _, data in graph.nodes(data=True) if data["is_answer"]), None)
    return sorted(votes, key=lambda name: (name != answer, -votes[name]))


def _slot(graph: nx.DiGraph[str], name: str) -> int:
    return int(graph.nodes[name]["slot"])


def _middle(layer: int) -> float:
    return _LEFT + 44 + (layer + 0.5) * _COLUMN


def _heading(graph: nx.DiGraph[str], index: int, layer: list[str]) -> dict[str, Any]:
    """What stands over a layer and, where it was graded, under it."""
    graded = [graph.nodes[name]["verdict"] for name in layer]
    return {
        "x": _middle(index),
        "word": str(index)
        if all(graph.nodes[name]["generation"] == index for name in layer)
        else "conclusion",
        "graded": any(one is not None for one in graded),
        "right": sum(one == "correct" for one in graded),
        "size": len(layer),
    }


def _lines(
    graph: nx.DiGraph[str], places: dict[str, _Place], shares: dict[str, float], scale: _Scale
) -> tuple[str, list[dict[str, Any]]]:
    """All descent as one faint path; and the answer's, the strongest last, by how much of the answer it carries."""
    faint: list[str] = []
    strong: list[tuple[float, dict[str, Any]]] = []
    for parent, child, data in graph.edges(data=True):
        if parent not in places:
            continue
        path = _curve(places[parent], places[child], scale.width / 2)
        if child in shares:
            carried = shares[child] * len(data["positions"]) / len(graph.nodes[child]["parents"])
            strength = carried**0.5
            line = {"path": path, "width": 0.8 + 4.2 * strength, "opacity": 0.2 + 0.7 * strength}
            strong.append((carried, line))
        else:
            faint.append(path)
    return " ".join(faint), [line for _, line in sorted(strong, key=lambda one: one[0])]


def _curve(start: _Place, end: _Place, half: float) -> str:
    x, to = start.x + half, end.x - half
    bend = (to - x) / 2
    return f"M{x:.1f} {start.y:.1f}C{x + bend:.1f} {start.y:.1f} {to - bend:.1f} {end.y:.1f} {to:.1f} {end.y:.1f}"


def _box(
    graph: nx.DiGraph[str],
    name: str,
    place: _Place,
    names: list[str],
    shares: dict[str, float],
    scale: _Scale,
) -> dict[str, Any]:
    """One candidate: its box's left upper corner, and what is written into it and said of it."""
    data = graph.nodes[name]
    return {
        "x": place.x - scale.width / 2,
        "y": place.y - scale.height / 2,
        "fill": _colour(data, names),
        "right": data["verdict"] == "correct",
        "dashed": data["status"] != "ok",
        "pale": len(shares) > 1 and name not in shares,
        "answers": data["is_answer"],
        "word": "failed" if data["status"] == "failed" else short(data["answer"] or "–", 10),
        "told": _told(name, data),
    }


def _told(name: str, data: dict[str, Any]) -> str:
    """What a reader sees when the pointer rests on a box."""
    lines = [
        f"{name}: {data['operator']}" + (f" of {' '.join(data['parents'])}" if data["parents"] else ""),
        f"answer {short(data['answer'], 60)}" if data["answer"] is not None else "no answer",
        ", ".join(
            filter(
                None,
                (
                    data["verdict"],
                    data["status"] if data["status"] != "ok" else None,
                    f"fitness {' '.join(f'{one:g}' for one in data['fitness'])}" if data["fitness"] else None,
                    f"{data['tokens']} tokens",
                ),
            )
        ),
    ]
    return " · ".join(lines)


def _colour(data: dict[str, Any], names: list[str]) -> str:
    if data["status"] == "failed":
        return _FAILED
    if data["answer_class"] is None:
        return _NOTHING
    place = names.index(data["answer_class"])
    return _COLOURS[place] if place < len(_COLOURS) else _OTHER


def _legend(graph: nx.DiGraph[str], names: list[str]) -> list[dict[str, Any]]:
    """What each colour and frame means, and how many candidates have it."""
    nodes = [data for _, data in graph.nodes(data=True)]
    votes = Counter(data["answer_class"] for data in nodes)
    written = {data["answer_class"]: data["answer"] for data in reversed(nodes)}
    rows = [
        (_COLOURS[place], f"{short(written[name] or '', 20)}  ({votes[name]})")
        for place, name in enumerate(names[: len(_COLOURS)])
    ]
    rest = sum(votes[name] for name in names[len(_COLOURS) :])
    if rest:
        rows.append((_OTHER, f"{len(names) - len(_COLOURS)} other answers  ({rest})"))
    failed = sum(data["status"] == "failed" for data in nodes)
    if votes[None] > failed:
        rows.append((_NOTHING, f"no answer  ({votes[None] - failed})"))
    found = [{"fill": fill, "text": text, "right": False, "dashed": False} for fill, text in rows]
    if any(data["verdict"] == "correct" for data in nodes):
        found.append({"fill": "#ffffff", "text": "✓ correct", "right": True, "dashed": False})
    if any(data["status"] != "ok" for data in nodes):
        found.append({"fill": "#ffffff", "text": "truncated or failed", "right": False, "dashed": True})
    return found
