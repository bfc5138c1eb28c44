"""Lineage: the graph says what the store says, and neither of its files can be broken by what a model wrote."""

from __future__ import annotations

from html import escape
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import CORRECT, INCORRECT, member, run_of

from evolve_llm import Request, Run, UserError
from evolve_llm.analysis.lineage import contributions, legal, lineage_graph, short, to_graphml
from evolve_llm.analysis.lineage_picture import to_svg
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.candidate import Status, fitness_class
from evolve_llm.record.store import Store
from evolve_llm.testing import HOSTILE

SVG = "{http://www.w3.org/2000/svg}"
TEXTS = st.one_of(
    st.text(max_size=200),
    st.sampled_from(sorted(HOSTILE.values())),
    st.text("<>&\"'\x00\x08\x1b\ufffe\u202e]]>é✓", max_size=60),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("lineage") / "run"
    return run_of(
        out, model="scripted:error=0.7,truncate=0.1,fail=0.1", evaluate="agreement", select="tournament"
    )


def family(*, answer: str = "<b>&", reason: str = "made") -> nx.DiGraph[str]:
    """Two founders, a child with one of them twice, and the last chain of a finish operator."""
    born = [
        member("0.0", answer),
        member("0.1", "fail"),
        member("0.2", "b"),
        member("1.0", answer, "0.2 0.0 0.2"),
        member("1.1", None, "0.0"),
        member("1.2", "b", "1.0 1.1"),
    ]
    for one in born:
        one.operator = reason
    return lineage_graph(born, {answer: CORRECT, "b": INCORRECT, None: INCORRECT}, "1.2")


def test_the_graph_holds_every_candidate_with_its_parents_in_order(run: Run) -> None:
    with Store.open_to_read(run.path) as store:
        for order, problem in enumerate(run.problems()):
            graph = run.lineage(problem.id)
            born = store.candidates(order)
            assert list(graph) == [one.uid for one in born]
            for one in born:
                data = graph.nodes[one.uid]
                assert data["parents"] == one.parents
                assert set(graph.predecessors(one.uid)) == set(one.parents)
                ordered = sorted(graph.in_edges(one.uid, data="position"), key=lambda edge: edge[2])
                assert tuple(parent for parent, _, _ in ordered) == tuple(dict.fromkeys(one.parents))
                assert (data["generation"], data["slot"], data["status"]) == (
                    one.generation,
                    one.slot,
                    one.status.value,
                )
                assert (data["answer"], data["answer_class"]) == (one.answer, one.answer_class)
                assert data["tokens"] == one.prompt_tokens + one.completion_tokens
                assert (data["fitness"] is None) == (not one.fitness.valid)
            assert nx.is_directed_acyclic_graph(graph)
            (result,) = (one for one in run.results() if one.id == problem.id)
            assert [uid for uid, data in graph.nodes(data=True) if data["is_answer"]] == [result.uid]
            assert graph.nodes[result.uid]["verdict"] == (result.verdict.grade if result.verdict else None)


def test_a_parent_named_twice_keeps_both_its_places() -> None:
    graph = family()
    assert graph.edges["0.2", "1.0"] == {"position": 0, "positions": (0, 2)}
    assert graph.edges["0.0", "1.0"] == {"position": 1, "positions": (1,)}
    assert graph.nodes["0.1"]["verdict"] is None  # failed: its missing answer was never graded


def test_the_whole_run_is_the_union_of_its_problems(run: Run) -> None:
    whole = run.lineage()
    assert len(whole) == sum(len(run.lineage(one.id)) for one in run.problems())
    assert {data["problem"] for _, data in whole.nodes(data=True)} == {one.id for one in run.problems()}
    assert nx.number_weakly_connected_components(whole) >= len(run.problems())
    child = next(name for name, data in whole.nodes(data=True) if data["parents"])
    assert set(whole.nodes[child]["parents"]) == set(whole.predecessors(child))


def test_an_unknown_problem_is_told_with_those_there_are(run: Run) -> None:
    with pytest.raises(UserError, match=r"no problem 'sum99'.*Did you mean.*sum0, sum1"):
        run.lineage("sum99")


def test_every_generation_of_a_generational_scheme_contributes_one(run: Run) -> None:
    for problem in run.problems():
        graph = run.lineage(problem.id)
        shares = contributions(graph)
        orphans = {name for name in shares if not graph.nodes[name]["parents"]}
        assert sum(shares[name] for name in orphans) == pytest.approx(1)
        assert set(shares) == {name for name in shares if name in graph}
        answer = next(uid for uid, data in graph.nodes(data=True) if data["is_answer"])
        assert set(shares) == nx.ancestors(graph, answer) | {answer}


def test_contributions_count_a_parent_as_often_as_it_is_named() -> None:
    shares = contributions(family())
    assert shares == pytest.approx({"1.2": 1, "1.0": 1 / 2, "1.1": 1 / 2, "0.2": 1 / 3, "0.0": 1 / 6 + 1 / 2})
    assert contributions(nx.DiGraph()) == {}


def test_graphml_comes_back_the_same(run: Run) -> None:
    graph = run.lineage()
    back = nx.parse_graphml(to_graphml(graph))
    assert set(back) == set(graph)
    assert set(back.edges) == set(graph.edges)
    for name, data in graph.nodes(data=True):
        assert back.nodes[name].get("answer") == data["answer"]
        assert back.nodes[name].get("fitness") == (data["fitness"][0] if data["fitness"] else None)
        assert tuple(back.nodes[name]["parents"].split()) == data["parents"]
        assert back.nodes[name]["is_answer"] == data["is_answer"]
    for parent, child, position in graph.edges(data="position"):
        assert back.edges[parent, child]["position"] == position


def test_graphml_of_several_objectives() -> None:
    one = member("0.0")
    one.fitness = fitness_class((1.0, -1.0))()
    one.fitness.assign((0.5, 9))
    back = nx.parse_graphml(to_graphml(lineage_graph([one], {}, None)))
    assert (back.nodes["0.0"]["fitness"], back.nodes["0.0"]["fitness_2"]) == (0.5, 9.0)


@settings(max_examples=60)
@given(answer=TEXTS, operator=TEXTS, title=TEXTS)
def test_no_answer_breaks_a_file_or_becomes_markup(answer: str, operator: str, title: str) -> None:
    graph = family(answer=answer, reason=operator)
    back = nx.parse_graphml(to_graphml(graph))
    assert set(back) == set(graph)
    picture = ElementTree.fromstring(to_svg(graph, title))
    assert {one.tag.removeprefix(SVG) for one in picture.iter()} == {
        "svg",
        "title",
        "rect",
        "text",
        "path",
        "g",
    }
    assert not [key for one in picture.iter() for key in one.attrib if key.startswith("on") or "href" in key]


def test_different_classes_stay_different_where_they_are_cut() -> None:
    assert short("x" * 500 + "1", 80, distinct=True) != short("x" * 500 + "2", 80, distinct=True)
    assert short("\x00a", 80, distinct=True) != short("a", 80, distinct=True)
    assert len(short("x" * 500, 80, distinct=True)) <= 80
    assert short("12", 80, distinct=True) == "12"


@given(text=TEXTS, limit=st.integers(1, 40))
def test_short_is_one_line_of_at_most_so_many_characters(text: str, limit: int) -> None:
    found = short(text, limit)
    assert len(found) <= limit
    assert "\n" not in found
    assert "\x1b" not in found
    ElementTree.fromstring(f"<a>{escape(legal(found))}</a>")


@pytest.mark.parametrize("order", ["answer", "slot"])
def test_the_picture_shows_every_candidate_and_is_always_the_same(run: Run, order: str) -> None:
    graph = run.lineage("sum0")
    text = to_svg(graph, "sum0", order=order)  # type: ignore[arg-type]
    assert text == to_svg(run.lineage("sum0"), "sum0", order=order)  # type: ignore[arg-type]
    titles = [one.text or "" for one in ElementTree.fromstring(text).iter(f"{SVG}title")]
    assert sorted(one.split(":")[0] for one in titles[1:]) == sorted(graph)


def test_a_hostile_model_is_drawn(tmp_path: Path) -> None:
    def respond(request: Request) -> str:
        return "\\boxed{</text><script>alert(1)</script>\x1b[31m" + "]]>" * (request.seed % 3) + "}"

    run = run_of(tmp_path / "run", model=Scripted(respond), problems=1, generations=2)
    graph = run.lineage("sum0")
    for text in (to_svg(graph, "sum0"), to_graphml(graph)):
        assert "<script" not in text
        assert "\x1b" not in text
        ElementTree.fromstring(text.encode())


def test_odd_populations_are_drawn() -> None:
    ElementTree.fromstring(to_svg(nx.DiGraph()))
    ElementTree.fromstring(to_svg(lineage_graph([member("0.0", "fail")], {}, None)))
    many = [member(f"0.{slot}", str(slot % 30)) for slot in range(300)]
    many[5].status = Status.TRUNCATED
    picture = to_svg(lineage_graph(many, {}, "0.7"), "crowd")
    assert "22 other answers" in picture
    ElementTree.fromstring(picture)
