"""DEAP's users checkpoint by pickle and clone by deepcopy: candidates survive both, whatever their weights."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from deap import base, tools
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.nouns import candidate as module
from evolve_llm.nouns.candidate import Candidate, Fitness, Status, fitness_class

WEIGHTS = st.lists(st.sampled_from([1.0, -1.0]), min_size=1, max_size=12)
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
Duplicate = Callable[[Any], Any]


def pickled(protocol: int) -> Duplicate:
    return lambda one: pickle.loads(pickle.dumps(one, protocol))


DUPLICATES: dict[str, Duplicate] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "toolbox.clone": base.Toolbox().clone,
    **{f"pickle {n}": pickled(n) for n in PROTOCOLS},
}
every_duplicate = pytest.mark.parametrize("duplicate", DUPLICATES.values(), ids=DUPLICATES)


def made(weights: list[float], values: list[float] | None = None) -> Candidate:
    """A candidate none of whose fields has its default."""
    one = Candidate(
        "p", 3, 4, "aggregate", "text", "4", "=4", ("2.0", "2.1"), ("2.2",), Status.TRUNCATED, "why", 7, 8, 9, True,
        "thought", ("2.3",), (0, 2), "mate", 11, 12, (-0.5, -0.25), {"votes": [1.0, 0.0]}, fitness_class(weights)(),
    )  # fmt: skip
    one.fitness.assign(values or [float(index) for index, _ in enumerate(weights)])
    return one


def state(one: Candidate) -> dict[str, Any]:
    return {field.name: getattr(one, field.name) for field in fields(one)}


def test_the_example_leaves_no_field_at_its_default() -> None:
    plain = state(Candidate("", 0, 0, ""))
    assert not [name for name, value in state(made([-1.0])).items() if value == plain[name]]


@every_duplicate
@given(weights=WEIGHTS, data=st.data())
def test_a_duplicate_is_the_same_candidate(
    duplicate: Duplicate, weights: list[float], data: st.DataObject
) -> None:
    number = st.floats(allow_nan=False, allow_infinity=False)
    one = made(weights, data.draw(st.lists(number, min_size=len(weights), max_size=len(weights))))
    again = duplicate(one)
    assert again is not one
    assert type(again) is Candidate
    assert state(again) == state(one)
    assert type(again.fitness) is type(one.fitness) is fitness_class(weights)
    assert again.fitness.values == one.fitness.values
    assert not again.fitness.dominates(one.fitness)


@pytest.mark.parametrize("name", [name for name in DUPLICATES if name != "copy"])
def test_a_duplicate_shares_nothing_that_changes(name: str) -> None:
    one = made([1.0, -1.0])
    again = DUPLICATES[name](one)
    again.evidence["votes"].append(5.0)
    del again.fitness.values
    assert one.evidence == {"votes": [1.0, 0.0]}
    assert one.fitness.valid


@given(weights=WEIGHTS)
def test_weights_have_one_class_that_is_found_by_its_name(weights: list[float]) -> None:
    kind = fitness_class(weights)
    assert kind is fitness_class(tuple(weights))
    assert kind.weights == tuple(weights)
    assert getattr(module, kind.__name__) is kind
    assert pickle.loads(pickle.dumps(kind)) is kind


def test_threads_that_ask_at_once_get_one_class() -> None:
    found: list[type[Fitness]] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        found.append(fitness_class([-1.0] * 31))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    "name", ["Fitness_", "Fitness_P", "Fitness_PX", "Fitness_pm", "PM", "Nothing", "fitness_M"]
)
def test_no_other_name_is_a_class(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(module, name)


def test_what_selectors_note_on_a_fitness_is_kept_by_pickle() -> None:
    front = [made([1.0, -1.0], [float(n), float(n)]) for n in range(4)]
    tools.selNSGA2(front, 4)
    again = pickle.loads(pickle.dumps(front))
    assert [one.fitness.crowding_dist for one in again] == [one.fitness.crowding_dist for one in front]


def test_a_checkpoint_is_read_by_another_process_and_its_answer_by_this_one(tmp_path: Path) -> None:
    """DEAP's own recipe: population, hall of fame, logbook and the state of ``random`` in one pickle."""
    population = [made([1.0, -1.0, -1.0], [float(n), 1.0, 2.0]) for n in range(3)]
    best, front = tools.HallOfFame(2), tools.ParetoFront()
    best.update(population)
    front.update(population)
    (tmp_path / "in.pickle").write_bytes(
        pickle.dumps({"population": population, "best": best, "front": front})
    )
    program = (
        "import pickle, sys\n"
        "found = pickle.load(open(sys.argv[1], 'rb'))\n"
        "one = found['population'][1]\n"
        "assert type(one.fitness) is type(found['best'][0].fitness)\n"
        "assert one.fitness.weights == (1.0, -1.0, -1.0), one.fitness.weights\n"
        "assert one.fitness.values == (1.0, 1.0, 2.0)\n"
        "one.fitness.assign((7, 8, 9))\n"
        "pickle.dump(found, open(sys.argv[2], 'wb'))\n"
    )
    paths = [str(tmp_path / name) for name in ("in.pickle", "out.pickle")]
    subprocess.run([sys.executable, "-c", program, *paths], check=True, timeout=60)
    found = pickle.loads((tmp_path / "out.pickle").read_bytes())
    assert type(found["population"][1].fitness) is fitness_class((1, -1, -1))
    assert found["population"][1].fitness.values == (7.0, 8.0, 9.0)
    assert [one.fitness.values for one in found["best"]] == [(2.0, 1.0, 2.0), (1.0, 1.0, 2.0)]
    assert len(found["front"]) == 1


def test_a_checkpoint_of_fewer_fields_is_read_with_their_defaults() -> None:
    function, (kind, values) = made([1.0]).__reduce__()
    del values["evidence"]
    assert function(kind, values).evidence == {}
