"""Inputs made from public ones: of the same shape, the same from a seed, and of use to tell programs apart."""

import json
from pathlib import Path
from types import ModuleType

import pytest
from evolve_llm_problems.code.behaviour import behaviour
from evolve_llm_problems.code.generated import MOST, generated
from evolve_llm_problems.code.sandboxed import Limits

from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.problem_sets import load_problems

TEXTS = ["4\n10 20 30 40\n", "2\n5 7\n", "3\nabc\nbca\ncab\n"]
CALLS = ['[10, 20, 30]\n3\n"abca"', '[[1, 2], [3, 4]]\n2\n"xy"']


def shape(text: str) -> list[int]:
    return [len(line.split()) for line in text.split("\n")]


def test_texts_keep_their_shape_and_their_counts() -> None:
    made = generated(TEXTS, 40, "seed")
    assert len(made) == len(set(made)) == 40
    assert not set(made) & set(TEXTS)
    heads = {text.split("\n")[0]: shape(text) for text in TEXTS}
    for text in made:
        assert shape(text) == heads[text.split("\n")[0]], text
        assert "-" not in text


def test_calls_keep_their_arguments_and_their_lengths() -> None:
    made = generated(CALLS, 30, "seed", functional=True)
    assert len(made) == len(set(made)) == 30
    for text in made:
        items, count, word = (json.loads(line) for line in text.split("\n"))
        assert len(items) == count, text
        assert len(word) in (2, 4)


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    assert generated(TEXTS, 8, "a") == generated(TEXTS, 8, "a") != generated(TEXTS, 8, "b")


@pytest.mark.parametrize("inputs", [[], [""], ["\n"], ["x"], ["9" * 20_000]])
def test_inputs_that_give_nothing_give_nothing(inputs: list[str]) -> None:
    assert generated(inputs, 5, "seed") == []


@pytest.mark.sandbox
def test_programs_that_agree_on_the_public_inputs_are_parted() -> None:
    public = [{"input": "3\n4 5 6\n", "output": "15", "testtype": "stdin"}]
    more = {"public_tests": public, "name": None, "inputs": generated(["3\n4 5 6\n"], 6, "seed")}
    adds = "input()\nprint(sum(map(int, input().split())))"
    folds = "n = int(input())\nt = 0\nfor w in input().split():\n    t += int(w)\nprint(t)"
    knows = "print(15)"
    limits = Limits(cpu=2.0)
    assert len({behaviour(one, {"public_tests": public}, limits) for one in (adds, folds, knows)}) == 1
    seen = [behaviour(one, more, limits) for one in (adds, folds, knows)]
    assert seen[0] == seen[1] != seen[2]


def test_the_option_of_the_set(lookalikes: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text("\n".join(json.dumps(row) for row, _, _ in lookalikes.rows()), encoding="utf-8")
    plain = load_problems(f"livecodebench:{path}")
    asked = load_problems(f"livecodebench:{path}?generated=5")
    assert not any("inputs" in one.metadata for one in plain)
    made = [one.metadata["inputs"] for one in asked]
    assert sum(len(one) == 5 for one in made) >= 15, made
    assert [one.metadata["inputs"] for one in load_problems(f"livecodebench:{path}?generated=5")] == made
    assert [
        one.metadata["inputs"] for one in load_problems(f"livecodebench:{path}?generated=5&seed=1")
    ] != made
    for wrong in (-1, MOST + 1):
        with pytest.raises(UserError, match=f"0 to {MOST}"):
            load_problems(f"livecodebench:{path}?generated={wrong}")
