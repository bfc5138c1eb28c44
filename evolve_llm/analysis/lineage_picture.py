"""The lineage of one problem as an SVG picture: a pure function from graph to text.

Generations run from left to right; a box is a candidate, its colour the answer, a dark frame a correct one, and the
lines the descent of the answer, the stronger the more of it came that way. Everything a model or a problem file
wrote is cut short and escaped (invariant I9); the picture holds no script, no link and no foreign element.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import networkx as nx

from evolve_llm.analysis.lineage import contributions, legal, short

Order = Literal["answer", "slot"]

# Okabe and Ito's colours for all kinds of colour vision (2008), lightened where black text stands on them
_COLOURS = ("#56b4e9", "#e69f00", "#3fb58f", "#e48fc0", "#f2e25c", "#e58a4f", "#7f9fe0", "#b8a0d8")
_OTHER, _NOTHING, _FAILED = "#c9ced6", "#ffffff", "#f3f4f6"
_INK, _GREY, _RIGHT, _DESCENT = "#1f2937", "#6b7280", "#111827", "#334155"
_FONT = "font-family=\"Inter, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif\""

_COLUMN, _LEFT, _TOP, _LEGEND = 144, 28, 84, 262
_TALLEST, _ROW, _TEXT_ROW = 900, 30, 20  # pixels; rows lower than the last hold no text


@dataclass(frozen=True, slots=True)
class _Box:
    """Where one candidate is drawn: its middle, and its layer."""

    x: float
    y: float
    layer: int


@dataclass(frozen=True, slots=True)
class _Scale:
    """Sizes that follow from how many candidates a layer holds."""

    row: float
    width: float
    height: float
    text: bool


def to_svg(graph: nx.DiGraph[str], title: str = "", *, order: Order = "answer") -> str:
    """A picture of ``Run.lineage(problem)``.

    ``order`` within a generation: by ``answer``, the run's own first and then the most frequent, which shows how
    one takes over, or by ``slot``, which shows islands and neighbourhoods. Legible to about 40 candidates a
    generation; beyond, boxes lose their text.
    """
    names = _class_names(graph)
    layers = _layers(graph)
    rank = {name: place for place, name in enumerate([*names, None])}
    tallest = max((len(layer) for layer in layers), default=1)
    row = max(5.0, min(float(_ROW), _TALLEST / tallest))
    scale = _Scale(
        row, 78.0 if row >= _TEXT_ROW else 26.0, row - (6 if row >= _TEXT_ROW else 1.5), row >= _TEXT_ROW
    )
    boxes: dict[str, _Box] = {}
    for index, layer in enumerate(layers):
        if order == "answer":
            layer = sorted(layer, key=lambda one: (rank[graph.nodes[one]["answer_class"]], _slot(graph, one)))
        offset = _TOP + 14 + (tallest - len(layer)) * row / 2
        for place, name in enumerate(layer):
            boxes[name] = _Box(_LEFT + 44 + (index + 0.5) * _COLUMN, offset + (place + 0.5) * row, index)
    body = _LEFT + 44 + len(layers) * _COLUMN
    wide, high = (
        body + _LEGEND,
        max(_TOP + 14 + tallest * row + 56, _TOP + 30 + 26 * (min(len(names), 8) + 7)),
    )
    shares = contributions(graph)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" height="{high:g}"'
        f' role="img" {_FONT} font-size="12">',
        f"<title>{_safe(title or 'lineage', 120)}</title>",
        f'<rect width="{wide:g}" height="{high:g}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="34" font-size="17" font-weight="600" fill="{_INK}">{_safe(title, 90)}</text>',
        *_headings(layers, graph, _TOP + 14 + tallest * row),
        *_lines(graph, boxes, shares, scale),
        *(_box(graph, name, box, names, shares, scale) for name, box in boxes.items()),
        *_legend(graph, names, body + 24),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


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


def _headings(layers: list[list[str]], graph: nx.DiGraph[str], bottom: float) -> list[str]:
    parts = []
    for index, layer in enumerate(layers):
        x = _LEFT + 44 + (index + 0.5) * _COLUMN
        own = all(graph.nodes[name]["generation"] == index for name in layer)
        word = str(index) if own else "conclusion"
        parts.append(f'<text x="{x:g}" y="{_TOP - 6}" text-anchor="middle" fill="{_GREY}">{word}</text>')
        graded = [graph.nodes[name]["verdict"] for name in layer]
        if any(one is not None for one in graded):
            right = sum(one == "correct" for one in graded)
            parts.append(
                f'<text x="{x:g}" y="{bottom + 26:g}" text-anchor="middle" fill="{_GREY}">'
                f"{right} of {len(layer)} right</text>"
            )
    parts.append(f'<text x="{_LEFT}" y="{_TOP - 6}" fill="{_GREY}">generation</text>')
    return parts


def _lines(
    graph: nx.DiGraph[str], boxes: dict[str, _Box], shares: dict[str, float], scale: _Scale
) -> list[str]:
    """All descent as a faint web; over it the answer's, by how much of the answer it carries."""
    faint, strong = [], []
    for parent, child, data in graph.edges(data=True):
        if parent not in boxes:
            continue
        path = _curve(boxes[parent], boxes[child], scale.width / 2)
        if child in shares:
            carried = shares[child] * len(data["positions"]) / len(graph.nodes[child]["parents"])
            strength = carried**0.5
            width, opacity = 0.8 + 4.2 * strength, 0.2 + 0.7 * strength
            line = f'<path d="{path}" stroke-width="{width:.2f}" opacity="{opacity:.2f}"/>'
            strong.append((carried, line))
        else:
            faint.append(path)
    ordered = [line for _, line in sorted(strong, key=lambda one: one[0])]
    return [
        f'<path d="{" ".join(faint)}" fill="none" stroke="#9ca3af" stroke-width="0.6" opacity="0.28"/>',
        f'<g fill="none" stroke="{_DESCENT}" stroke-linecap="round">',
        *ordered,
        "</g>",
    ]


def _curve(start: _Box, end: _Box, half: float) -> str:
    x, to = start.x + half, end.x - half
    bend = (to - x) / 2
    return f"M{x:.1f} {start.y:.1f}C{x + bend:.1f} {start.y:.1f} {to - bend:.1f} {end.y:.1f} {to:.1f} {end.y:.1f}"


def _box(
    graph: nx.DiGraph[str],
    name: str,
    box: _Box,
    names: list[str],
    shares: dict[str, float],
    scale: _Scale,
) -> str:
    data = graph.nodes[name]
    right = data["verdict"] == "correct"
    pale = len(shares) > 1 and name not in shares
    frame = _RIGHT if right else "#9ca3af"
    dashed = ' stroke-dasharray="3 3"' if data["status"] != "ok" else ""
    x, y = box.x - scale.width / 2, box.y - scale.height / 2
    radius, thick = min(7.0, scale.height / 2), 2.2 if scale.text else 1.2
    parts = [f'<g opacity="{0.5 if pale else 1}">', f"<title>{_said(name, data)}</title>"]
    if data["is_answer"]:
        parts.append(
            f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="{scale.width + 8:.1f}" height="{scale.height + 8:.1f}"'
            f' rx="{radius + 3:.1f}" fill="#ffffff" stroke="{_DESCENT}" stroke-width="2.4"/>'
        )
    parts.append(
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{scale.width:.1f}" height="{scale.height:.1f}" rx="{radius:.1f}"'
        f' fill="{_colour(data, names)}" stroke="{frame}" stroke-width="{thick if right else 0.7}"{dashed}/>'
    )
    if scale.text:
        word = "failed" if data["status"] == "failed" else short(data["answer"] or "–", 10)
        style = ' font-weight="600"' if right else ""
        parts.append(
            f'<text x="{box.x:.1f}" y="{box.y + 4:.1f}" text-anchor="middle" font-size="11" fill="{_INK}"{style}>'
            f"{'✓ ' if right else ''}{_safe(word, 11)}</text>"
        )
    parts.append("</g>")
    return "".join(parts)


def _said(name: str, data: dict[str, Any]) -> str:
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
    return _safe(" · ".join(lines), 400)


def _colour(data: dict[str, Any], names: list[str]) -> str:
    if data["status"] == "failed":
        return _FAILED
    if data["answer_class"] is None:
        return _NOTHING
    place = names.index(data["answer_class"])
    return _COLOURS[place] if place < len(_COLOURS) else _OTHER


def _legend(graph: nx.DiGraph[str], names: list[str], x: float) -> list[str]:
    nodes = [data for _, data in graph.nodes(data=True)]
    votes = Counter(data["answer_class"] for data in nodes)
    written = {data["answer_class"]: data["answer"] for data in reversed(nodes)}
    rows: list[tuple[str, str, str]] = [
        (_COLOURS[place], "", f"{short(written[name] or '', 20)}  ({votes[name]})")
        for place, name in enumerate(names[: len(_COLOURS)])
    ]
    rest = sum(votes[name] for name in names[len(_COLOURS) :])
    if rest:
        rows.append((_OTHER, "", f"{len(names) - len(_COLOURS)} other answers  ({rest})"))
    failed = sum(data["status"] == "failed" for data in nodes)
    if votes[None] > failed:
        rows.append((_NOTHING, "", f"no answer  ({votes[None] - failed})"))
    plain = 'stroke="#9ca3af" stroke-width="0.7"'
    if any(data["verdict"] == "correct" for data in nodes):
        rows.append(("#ffffff", f'stroke="{_RIGHT}" stroke-width="2.2"', "✓ correct"))
    if any(data["status"] != "ok" for data in nodes):
        rows.append(("#ffffff", f'{plain} stroke-dasharray="3 3"', "truncated or failed"))
    parts = [f'<text x="{x:g}" y="{_TOP - 6}" fill="{_GREY}">answers, and how many gave them</text>']
    y = _TOP + 14.0
    for fill, stroke, text in rows:
        parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="26" height="15" rx="5" fill="{fill}" {stroke or plain}/>'
        )
        parts.append(f'<text x="{x + 36:g}" y="{y + 12:g}" fill="{_INK}">{_safe(text, 40)}</text>')
        y += 25
    if any(data["is_answer"] for data in nodes):
        parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="26" height="15" rx="6" fill="#ffffff" stroke="{_DESCENT}"'
            ' stroke-width="2.4"/>'
            f'<rect x="{x + 4:g}" y="{y + 4:g}" width="18" height="7" rx="3" fill="{_OTHER}"/>'
            f'<text x="{x + 36:g}" y="{y + 12:g}" fill="{_INK}">the answer of the run</text>'
            f'<path d="M{x:g} {y + 33:g}h26" stroke="{_DESCENT}" stroke-width="3.4" opacity="0.75"/>'
            f'<text x="{x + 36:g}" y="{y + 37:g}" fill="{_INK}">its descent, by its share</text>'
        )
    return parts


def _safe(text: str, limit: int) -> str:
    return escape(legal(short(text, limit)))
