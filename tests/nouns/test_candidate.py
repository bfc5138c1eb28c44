"""Candidates are data: they pickle and copy whole, whatever their fitness, as DEAP's users checkpoint."""

from __future__ import annotations

import base64
import copy
import pickle
import subprocess
import sys
from dataclasses import fields

import pytest
from deap import base
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm import Candidate, Fitness
from evolve_llm.nouns.candidate import Status, fitness_class

WEIGHTS = st.lists(st.sampled_from((1.0, -1.0)), min_size=1, max_size=5)


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    weights = draw(WEIGHTS)
    one = Candidate("p", draw(st.integers(0, 9)), draw(st.integers(0, 9)), "aggregate", draw(st.text()))
    one.answer, one.reasoning = draw(st.none() | st.text()), draw(st.text())
    one.parents, one.cut = ("0.1", "0.2"), (0, 7)
    one.status = draw(st.sampled_from(Status))
    one.evidence = {"votes": [1.0, 0.0]}
    one.fitness = fitness_class(weights)()
    if draw(st.booleans()):
        number = st.floats(allow_nan=False, allow_infinity=False)
        one.fitness.assign(draw(st.lists(number, min_size=len(weights), max_size=len(weights))))
    return one


def same(one: Candidate, other: Candidate) -> bool:
    plain = [field.name for field in fields(Candidate) if field.name != "fitness"]
    return (
        all(getattr(one, name) == getattr(other, name) for name in plain)
        and type(one.fitness) is type(other.fitness)
        and one.fitness.wvalues == other.fitness.wvalues
        and one.fitness.valid == other.fitness.valid
    )


@given(one=candidates(), protocol=st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_it_pickles_and_copies_whole(one: Candidate, protocol: int) -> None:
    for other in (
        pickle.loads(pickle.dumps(one, protocol)),
        copy.deepcopy(one),
        copy.copy(one),
        base.Toolbox().clone(one),
    ):
        assert other is not one
        assert same(one, other)


@given(weights=WEIGHTS)
def test_equal_weights_share_a_class(weights: list[float]) -> None:
    assert fitness_class(weights) is fitness_class(tuple(weights))
    assert fitness_class(weights).weights == tuple(weights)
    assert (fitness_class(weights) is Fitness) == (weights == [1.0])


def test_a_copy_has_a_fitness_of_its_own() -> None:
    one = Candidate("p", 0, 0, "sample")
    one.fitness = fitness_class((1.0, -1.0))()
    one.fitness.assign((1.0, 2.0))
    other = copy.deepcopy(one)
    del other.fitness.values
    assert one.fitness.values == (1.0, 2.0)
    assert not other.fitness.valid
    other.fitness.values = (0.5, 3.0)
    assert one.fitness > other.fitness


def test_a_checkpoint_is_read_in_another_process() -> None:
    one = Candidate("p", 1, 2, "aggregate", "a chain")
    one.fitness = fitness_class((-1.0, 1.0))()
    one.fitness.assign((3.0, 4.0))
    told = base64.b64encode(pickle.dumps([one, copy.deepcopy(one)])).decode()
    code = (
        "import base64, pickle, sys; one, other = pickle.loads(base64.b64decode(sys.argv[1])); "
        "print(one.uid, one.fitness.values, one.fitness.weights, type(one.fitness) is type(other.fitness))"
    )
    said = subprocess.run([sys.executable, "-c", code, told], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "1.2 (3.0, 4.0) (-1.0, 1.0) True"


@pytest.mark.parametrize("weights", [(), (2.0,), (0.0, 1.0), (float("nan"),)])
def test_other_weights_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must each be 1 or -1"):
        fitness_class(weights)
