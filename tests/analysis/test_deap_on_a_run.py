"""DEAP's statistics, halls of fame and history: the same while a run goes on and from its directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from deap import tools
from hypothesis import given, settings
from hypothesis import strategies as st
from making import generation as stored
from making import sums

from evolve_llm import BackendError, Observer, Problem, Run, UserError, evolve, genealogy
from evolve_llm.analysis.logbook import replayed
from evolve_llm.backends.scripted import Scripted
from evolve_llm.testing import Behaviour, run_directory

SMALL = {"population": 5, "generations": 4, "sampling": {"max_tokens": 256}}


def fitnesses() -> tools.Statistics:
    statistics = tools.Statistics(lambda one: one.fitness.values)
    statistics.register("max", np.max)
    statistics.register("mean", np.mean)
    return statistics


def several() -> tools.MultiStatistics:
    statistics = tools.MultiStatistics(
        fitness=tools.Statistics(lambda one: one.fitness.values[0]),
        size=tools.Statistics(lambda one: len(one.text)),
    )
    statistics.register("max", max)
    return statistics


def kept(observer: Observer) -> dict[str, Any]:
    return {
        problem: (
            list(logbook),
            {name: list(chapter) for name, chapter in logbook.chapters.items()},
            [(one.uid, one.text, one.answer, one.fitness.values) for one in observer.halls.get(problem, ())],
            str(logbook),
        )
        for problem, logbook in observer.logbooks.items()
    }


@settings(max_examples=20)
@given(
    preset=st.sampled_from(["mu-plus-lambda", "tournament-verified", "smoke", "steady-state", "nsga2"]),
    hall=st.sampled_from([lambda: tools.HallOfFame(3), tools.ParetoFront]),
    statistics=st.sampled_from([fitnesses, several]),
    fail=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 99),
)
def test_observed_live_and_read_afterwards_are_the_same(
    preset: str, hall: Any, statistics: Any, fail: float, seed: int
) -> None:
    live, afterwards = Observer(statistics(), hall), Observer(statistics(), hall)
    fitness = {} if preset == "nsga2" else {"evaluate": "agreement"}
    with run_directory() as out:
        run = evolve(
            sums(2), preset, Scripted(Behaviour(fail=fail)), out=out, seed=seed, on_generation=live, **fitness, **SMALL
        )  # fmt: skip
        run.replay(afterwards)
        assert kept(live) == kept(afterwards)
        assert set(live.logbooks) == {"sum0", "sum1"}
        for problem, logbook in live.logbooks.items():
            assert list(run.logbook(statistics(), problem)) == list(logbook)
            assert (
                len({one.uid for one in live.halls[problem]}) == len(live.halls[problem]) or preset == "nsga2"
            )


def test_a_hall_holds_the_best_that_ever_lived_once_each(tmp_path: Path) -> None:
    seen: dict[str, float] = {}
    observer = Observer(halloffame=lambda: tools.HallOfFame(4))

    def watch(generation: Any) -> None:
        for one in generation.members:
            seen.setdefault(one.uid, one.fitness.values[0])
        observer(generation)

    evolve(
        sums(1),
        "mu-plus-lambda",
        "scripted",
        out=tmp_path / "run",
        evaluate="length",
        on_generation=watch,
        **SMALL,
    )
    assert [one.fitness.values[0] for one in observer.halloffame] == sorted(seen.values())[:4]


def test_rows_count_the_newborn_and_the_failed_and_print() -> None:
    problem = Problem("p", "?", "boxed", "exact", "4")
    observer = Observer(several())
    for number, answers, fitness in ((0, "!!!", ()), (1, "ab!", (0.5, 1.0)), (2, "abc", (1.0, 2.0, 3.0))):
        one = stored(number, answers, fitness=fitness)
        observer(replayed(problem, one))
    book = observer.logbook
    assert book.select("gen", "new", "failed") == ([0, 1, 2], [3, 3, 3], [3, 1, 0])
    assert book.chapters["fitness"].select("max") == [None, 1.0, 3.0]
    assert len(str(book).splitlines()) >= 5
    assert "fitness" in str(book)


def test_every_wrong_use_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="statistics must be DEAP's"):
        Observer(np.mean)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"halloffame=lambda: tools.HallOfFame\(3\)"):
        Observer(halloffame=tools.HallOfFame(3))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="none yet"):
        _ = Observer().logbook
    run = evolve(sums(2), "smoke", "scripted", out=tmp_path / "run", **SMALL)
    with pytest.raises(UserError, match=r"needs a fitness.*evaluate"):
        run.replay(Observer(halloffame=lambda: tools.HallOfFame(3)))
    once = Observer()
    run.replay(once)
    with pytest.raises(UserError, match="is for one run"):
        run.replay(once)
    with pytest.raises(UserError, match=r"sum0, sum1.*\.logbooks"):
        run.logbook()
    with pytest.raises(UserError, match=r"'other'.*sum0, sum1"):
        run.logbook(problem="other")
    graded = evolve(sums(2), "smoke", "scripted", out=tmp_path / "graded", evaluate="agreement", **SMALL)
    hall = tools.HallOfFame(3)

    def emptied() -> tools.HallOfFame:
        hall.clear()
        return hall

    for make, said in ((emptied, "made the same one twice"), (list, "must make an empty HallOfFame")):
        with pytest.raises(UserError, match=said):
            graded.replay(Observer(halloffame=make))


@pytest.mark.parametrize(("die_after", "some_finished"), [(7, False), (110, True)])
def test_a_resumed_run_is_observed_whole_where_it_was_not_finished(
    tmp_path: Path, die_after: int, some_finished: bool
) -> None:
    """The fitness of survivors changes from generation to generation, and each row has that of its own."""
    options: dict[str, Any] = {"evaluate": "agreement", "out": tmp_path / "run", "concurrency": 1, **SMALL}
    with pytest.raises(BackendError):
        evolve(sums(6), "mu-plus-lambda", Scripted(Behaviour(), die_after=die_after), **options)
    unfinished = {one.id for one in Run(tmp_path / "run").results() if not one.finished}
    assert (len(unfinished) < 6) == some_finished
    live, afterwards = Observer(fitnesses()), Observer(fitnesses())
    evolve(sums(6), "mu-plus-lambda", Scripted(Behaviour()), on_generation=live, **options).replay(afterwards)
    assert set(live.logbooks) == unfinished
    assert all(
        list(logbook) == list(afterwards.logbooks[problem]) for problem, logbook in live.logbooks.items()
    )
    complete = Observer(fitnesses())
    evolve(sums(6), "mu-plus-lambda", Scripted(Behaviour()), on_generation=complete, **options)
    assert not complete.logbooks
    assert len(afterwards.logbooks) == 6


def test_a_genealogy_is_the_lineage_in_deaps_shape(tmp_path: Path) -> None:
    run = evolve(sums(2), "mu-plus-lambda", "scripted", out=tmp_path / "run", evaluate="agreement", **SMALL)
    history, lineage = genealogy(run, "sum1"), run.lineage("sum1")
    people = history.genealogy_history
    assert (
        list(people)
        == list(range(1, history.genealogy_index + 1))
        == [one.history_index for one in people.values()]
    )
    assert {one.uid for one in people.values()} == set(lineage)
    edges = {
        (people[parent].uid, people[child].uid)
        for child, found in history.genealogy_tree.items()
        for parent in found
    }
    assert edges == set(lineage.edges)
    youngest = people[history.genealogy_index]
    found = {people[index].uid for index in history.getGenealogy(youngest)}
    assert found == {youngest.uid} | nx.ancestors(lineage, youngest.uid)
    assert youngest.text
    graph = nx.DiGraph(history.genealogy_tree).reverse()
    assert len(graph) == history.genealogy_index
    with pytest.raises(UserError, match="no problem 'other'"):
        genealogy(run, "other")
