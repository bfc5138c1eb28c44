"""Reasoning Gym: the same entries in every process, and scores that survive JSON."""

import json
from collections import Counter
from typing import Any

import pytest
from evolve_llm_problems.reasoning_gym import COGNITION, GAMES
from evolve_llm_problems.reasoning_gym_draw import draw
from evolve_llm_problems.reasoning_gym_entries import jsonable, restore

from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.problem_sets import load_problems

pytest.importorskip("reasoning_gym")


def test_entries_depend_on_the_seed_and_not_on_the_size() -> None:
    few = load_problems("reasoning_gym:chain_sum,gcd?size=4&seed=5")
    many = load_problems("reasoning_gym:chain_sum,gcd?size=9&seed=5")
    other = load_problems("reasoning_gym:chain_sum,gcd?size=4&seed=500")

    assert [p.id for p in few] == ["chain_sum/seed5/0", "gcd/seed5/0", "chain_sum/seed5/1", "gcd/seed5/1"]
    assert few == many[:4]
    assert {p.question for p in few}.isdisjoint(p.question for p in other)
    assert {(p.format, p.grader) for p in few} == {("tags", "reasoning_gym")}


def test_a_set_laid_out_as_a_whole_does_not_depend_on_the_size_either() -> None:
    few, many = (list(draw(["acre"], size, 3, {})) for size in (2, 5))
    assert few == many[:2]


def test_entries_do_not_depend_on_pythons_hash_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Both iterate over sets of strings: drawn in this process they would differ from run to run.
    spec = "reasoning_gym:isomorphic_strings,ransom_note?size=6"
    drawn = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        drawn.append(load_problems(spec))
    assert drawn[0] == drawn[1]


def test_configuration_reaches_the_task_and_its_ids() -> None:
    problem = load_problems("reasoning_gym:chain_sum?min_terms=9&max_terms=9&size=1")[0]
    assert problem.id == "chain_sum/max_terms=9,min_terms=9/seed0/0"
    assert problem.reference["entry"]["metadata"]["num_terms"] == 9


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("reasoning_gym:chain_sm", "unknown Reasoning Gym task 'chain_sm'. Did you mean 'chain_sum'"),
        ("reasoning_gym:composite", "unknown Reasoning Gym task 'composite'"),
        ("reasoning_gym:chain_sum?term=3", "'chain_sum' has no option 'term'. .*Available: .*max_terms"),
        ("reasoning_gym:chain_sum?min_terms=9&max_terms=2", "refuses its options min_terms=9, max_terms=2"),
    ],
)
def test_a_wrong_task_or_option_is_explained(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=f"(?s){message}"):
        load_problems(spec)


def test_without_the_library_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolve_llm_problems.reasoning_gym.find_spec", lambda name: None)  # noqa: ARG005
    with pytest.raises(UserError, match=r"pip install \"evolve-llm\[problems\]\""):
        load_problems("rg_games")


def test_the_mixtures_are_the_papers() -> None:
    from reasoning_gym.factory import DATASETS

    category = {name: cls.__module__.split(".")[1] for name, (cls, _) in DATASETS.items()}
    assert sorted(GAMES) == sorted(name for name in category if category[name] == "games")
    assert set(COGNITION) == {name for name in category if category[name] == "cognition"} | {
        "arc_1d",
        "arc_agi",
    }
    weights = Counter(COGNITION)
    assert weights.pop("arc_agi") == 1
    assert set(weights.values()) == {6}


def test_a_limit_draws_a_balanced_beginning_of_a_mixture() -> None:
    tasks = [problem.metadata["task"] for problem in load_problems("rg_cognition", limit=8)]
    assert len(set(tasks)) == 8


def _answers(entry: dict[str, Any]) -> list[str]:
    """The answer of an entry where it has one, what its metadata holds, and some wrong ones."""
    metadata = entry["metadata"]
    found = [entry["answer"], metadata.get("example_correct_answer"), metadata.get("possible_answer")]
    texts = [one if isinstance(one, str) else json.dumps(one) for one in found if one is not None]
    return [*texts, "0", "[]", "A"]


def _score(dataset: Any, answer: str, entry: dict[str, Any]) -> float | str:
    try:
        return float(dataset.score_answer(answer, entry))
    except Exception as error:  # some scorers raise on answers that are not of their form
        return repr(error)


def test_scores_of_every_task_survive_json() -> None:
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    solved = set()
    for task in sorted(set(DATASETS) - {"composite"}):
        dataset = reasoning_gym.create_dataset(task, seed=1, size=2)
        entry = dataset[0]
        stored = restore(task, json.loads(json.dumps(jsonable(entry), allow_nan=False)))
        for answer in _answers(entry):
            score = _score(dataset, answer, entry)
            assert _score(dataset, answer, stored) == score, (task, answer)
            solved.update([task] if score == 1.0 else [])
    assert {"arc_agi", "rearc", "graph_color", "rubiks_cube", "knight_swap"} <= solved


def test_odd_values_become_json() -> None:
    import numpy as np

    value = {1: (np.int64(2), np.str_("x")), "s": {"b", "a"}, "a": np.array([[1, 2]]), "c": 1 + 2j}
    assert jsonable(value) == {"1": [2, "x"], "s": ["a", "b"], "a": [[1, 2]], "c": "(1+2j)"}
    assert json.dumps(jsonable(value), allow_nan=False)
