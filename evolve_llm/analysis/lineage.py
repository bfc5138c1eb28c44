"""Who descends from whom: a networkx graph of candidates, and GraphML of it.

An edge goes from parent to child and carries ``position``, the parent's first place in the child's prompt,
counted from 0, and ``positions``, all its places. A node carries

    parents     of whom it was made: uids in the prompt's order, repeats included
    verdict, is_answer
    fitness     tuple of its values
    tokens      prompt and completion tokens it cost

and every other stored field of ``Candidate`` but its texts (``operator``, ``answer_class``, ``status``, …).

None is what there is not. In the graph of a whole run a node is ``problem id/uid`` and also carries ``problem``.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import networkx as nx

from evolve_llm.basics.nearest import among
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.record.columns import STORED
from evolve_llm.record.store import Store

SHOWN = 80
"""Characters of an answer that are written to a file."""

_TOLD = [column for column in STORED if column.field not in ("problem", "text", "reasoning", "parents")]
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}


class Lineage(nx.DiGraph):  # type: ignore[type-arg]  # networkx's classes take no parameter when they run
    """A graph of candidates that a notebook shows as a picture."""

    def _repr_html_(self) -> str:
        from evolve_llm.analysis.lineage_picture import to_svg

        if any("problem" in data for _, data in self.nodes(data=True)):
            return f"<p>{len(self)} candidates of several problems; choose one: run.lineage(problem)</p>"
        return to_svg(self)


def lineage_graph(
    born: Iterable[Candidate], verdicts: Mapping[str | None, Verdict], answer: str | None, prefix: str = ""
) -> nx.DiGraph[str]:
    """The lineage of one problem: everyone born, survivors or not, in order of birth.

    ``verdicts`` by answer; ``answer`` is the uid of the candidate that answered. ``prefix`` goes before every uid.
    """
    graph: nx.DiGraph[str] = Lineage()
    candidates = list(born)
    for one in candidates:
        verdict = None if one.failed else verdicts.get(one.answer)
        graph.add_node(
            prefix + one.uid,
            **{column.field: column.plain(one) for column in _TOLD},
            parents=tuple(prefix + uid for uid in one.parents),
            verdict=verdict.grade.value if verdict else None,
            fitness=one.fitness.values if one.fitness.valid else None,
            tokens=one.prompt_tokens + one.completion_tokens,
            is_answer=one.uid == answer,
        )
    for one in candidates:
        for uid in dict.fromkeys(one.parents):
            places = tuple(place for place, name in enumerate(one.parents) if name == uid)
            graph.add_edge(prefix + uid, prefix + one.uid, position=places[0], positions=places)
    return graph


def run_lineage(store: Store, problem: str | None = None) -> nx.DiGraph[str]:
    """The lineage of one problem of a run, or of all in one graph. Raises UserError for an unknown problem."""
    ids = [one.id for one in store.problems()]
    answers = store.answers()

    def graph_of(order: int, prefix: str = "") -> nx.DiGraph[str]:
        answer = answers.get(order, (None, None))[0]
        return lineage_graph(store.candidates(order), store.verdicts(order), answer, prefix)

    if problem is not None:
        if problem not in ids:
            raise UserError(f"no problem {problem!r} in {store.path}.{among(problem, ids)}")
        return graph_of(ids.index(problem))
    whole: nx.DiGraph[str] = Lineage()
    for order, name in enumerate(ids):
        one = graph_of(order, f"{name}/")
        nx.set_node_attributes(one, dict.fromkeys(one, name), "problem")
        whole.update(one)
    return whole


def contributions(graph: nx.DiGraph[str]) -> dict[str, float]:
    """How much of the answer comes down from each of its ancestors: the answer is 1, and every candidate
    hands its own to its parents in equal parts, so each generation of a generational scheme adds up to 1.

    The long-term genetic contribution of pedigree analysis (Wray and Thompson 1990, Genet. Res. 55). Empty
    without an answer.
    """
    shares = {name: 1.0 for name, data in graph.nodes(data=True) if data["is_answer"]}
    for name in reversed(list(nx.topological_sort(graph))):
        parents = graph.nodes[name]["parents"]
        for parent in parents if name in shares else ():
            shares[parent] = shares.get(parent, 0.0) + shares[name] / len(parents)
    return shares


def to_graphml(graph: nx.DiGraph[str]) -> str:
    """The graph as GraphML, for Gephi, yEd, Cytoscape or ``networkx.read_graphml``.

    Attributes that are None are left out, tuples are written with spaces between, the first fitness value as a
    number and further ones as ``fitness_2``, …. Answers are cut to SHOWN characters and freed of what XML cannot
    hold, whatever the model wrote (invariant I9); classes stay different where their answers are.
    """
    written: nx.DiGraph[str] = nx.DiGraph()
    for name, data in graph.nodes(data=True):
        written.add_node(legal(name), **_plain_attributes(data))
    for parent, child, data in graph.edges(data=True):
        places = " ".join(map(str, data["positions"]))
        written.add_edge(legal(parent), legal(child), position=data["position"], positions=places)
    text = "\n".join(nx.generate_graphml(written))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _plain_attributes(data: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in data.items():
        if value is None:
            continue
        if key == "fitness":
            found |= {f"fitness_{i}" if i > 1 else "fitness": float(one) for i, one in enumerate(value, 1)}
        elif isinstance(value, list | tuple):
            found[key] = legal(" ".join(map(str, value)))
        elif key in ("answer", "answer_class"):
            found[key] = short(value, SHOWN, distinct=key == "answer_class")
        else:
            found[key] = legal(value) if isinstance(value, str) else value
    return found


def legal(text: str) -> str:
    """Without the characters that may not stand in XML, escaped or not."""
    return _ILLEGAL.sub("", text)


def short(text: str, limit: int, *, distinct: bool = False) -> str:
    """At most ``limit`` characters on one line, without control and invisible characters, cut with an ellipsis.

    ``distinct``: different texts stay different, by a digest in place of what was cut off or out.
    """
    kept = text[: 40 * limit + 400]
    folded = " ".join("".join(" " if one.isspace() else one for one in kept if _seen(one)).split())
    if distinct and (folded != text or len(folded) > limit):
        digest = hashlib.blake2b(text.encode(errors="backslashreplace"), digest_size=4).hexdigest()
        return f"{folded[: max(0, limit - 9)]}…{digest}"
    return folded if len(folded) <= limit else folded[: max(0, limit - 1)].rstrip() + "…"


def _seen(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) not in _INVISIBLE
