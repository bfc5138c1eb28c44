"""What a training set cannot be made from, and what is said then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from train_helpers import guessing, scripted_run, sums

from evolve_llm import Problem, Run
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.errors import UserError
from evolve_llm.train.dataset import Recipe, training_set
from evolve_llm.train.groups import Drawing


def refused(run: Run | Path, said: str, **recipe: Any) -> None:
    with pytest.raises(UserError, match=said):
        training_set(run if isinstance(run, Path) else run.path, Recipe(**recipe))


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    refused(tmp_path, "is not a run directory")


def test_a_run_that_is_not_finished(tmp_path: Path) -> None:
    run = scripted_run(tmp_path / "run", budget_tokens=20_000, concurrency=1)
    assert not run.complete
    refused(run, "is not finished: .* of 30 problems have their answer; repeat the command")


def test_a_run_without_references(tmp_path: Path) -> None:
    run = scripted_run(tmp_path / "run", sums(4, reference=None))
    refused(run, "no problem of the run .* has a reference and a grader")


def test_too_few_mixed_groups(words: Run, tmp_path: Path) -> None:
    certain = scripted_run(tmp_path / "run", accuracy=1.0)
    refused(
        certain,
        r"too few mixed groups: 0 of \d+ problems .* make 0 of the 1 aggregation prompts wanted; write fewer",
    )
    refused(words, r"at 2 a problem \(--most\) make \d+ of the 100 aggregation", rows=200, most=2)
    assert training_set(certain.path, Recipe(Drawing((0,), (3,), "none"))).train


def test_a_prompt_over_the_window(tmp_path: Path) -> None:
    settings = {"generations": 1, "sampling": {"max_tokens": 64}}
    run = scripted_run(tmp_path / "run", window=220, **settings)
    refused(
        run,
        r"with 6 candidate\(s\) has up to \d+ tokens \(estimated high\), which with 64 for the reply is more than the "
        r"model's window of 220; write fewer candidates \(--k\), or --model",
        drawing=Drawing((0,), (6,)),
    )
    model = Scripted(guessing(), context_length=220)
    counted = Recipe(Drawing((0,), (6,)), model=model)
    with pytest.raises(UserError, match=r"has \d+ tokens, which with 64"):
        training_set(run.path, counted)
    drops = scripted_run(tmp_path / "drops", window=220, **settings, carry={"policy": "drop"})
    made = training_set(drops.path, replace(counted, model=model))
    assert {len(row.parents) for row in made.train if row.kind == "aggregation"} <= {1, 2, 3, 4, 5}


def test_another_model_that_counts(words: Run) -> None:
    refused(
        words, "the run was made by 'scripted', but --model is", model=Scripted(guessing(), identity="other")
    )


@pytest.mark.parametrize(
    ("drawing", "said"),
    [
        (Drawing((0,), (7,)), "7 candidates are wanted for a prompt, but a population has 6"),
        (
            Drawing((3,), (2,)),
            "the run has the generations 0 to 2, but candidates are wanted from generation 3",
        ),
        (Drawing((0,), (1,)), "one candidate is all right or all wrong"),
        (Drawing((0, 0), (2,)), "--generations takes different numbers"),
        (Drawing((0,), (0,)), "--k takes different numbers from 1 on"),
    ],
)
def test_groups_that_cannot_be(words: Run, drawing: Drawing, said: str) -> None:
    refused(words, said, drawing=drawing)


def test_numbers_that_cannot_be(words: Run) -> None:
    refused(words, "--rows must be an even number", rows=7)
    refused(words, "--most must be at least 1", most=0)
    refused(words, "share of test problems must be from 0", test_share=1.0)
    refused(words, "none of the 30 problem.s. is left for training", test_share=0.9999999)
    refused(words, "the seed must be in", seed=-1)


def test_problems_that_are_tested_elsewhere(words: Run, tmp_path: Path) -> None:
    refused(
        words, r"30 training problem\(s\) are also in .*run: sum/", tests=(str(words.path),), test_share=0.0
    )
    renamed = [
        replace(one, id=f"other/{n}", question=f" {one.question.upper()}") for n, one in enumerate(sums(1))
    ]
    other = scripted_run(tmp_path / "other", renamed)
    refused(
        words,
        r"1 training problem\(s\) are also in .*: sum/0 \(there other/0\)",
        tests=(str(other.path),),
        test_share=0.0,
    )


def test_one_question_on_both_sides(tmp_path: Path) -> None:
    twice = [Problem(f"p/{n}", "The same question", "boxed", "exact", "number1") for n in range(10)]
    run = scripted_run(tmp_path / "run", twice)
    refused(run, "are also in the test part of the run", test_share=0.5)


def test_a_preset_without_aggregation_and_the_way_out(tmp_path: Path) -> None:
    run = scripted_run(tmp_path / "run", preset="majority-voting", parents=1, generations=1)
    refused(run, "has no operator that takes several parents; give --preset rsa")
    made = training_set(run.path, Recipe(Drawing((0,), (3,)), preset="rsa"))
    assert {len(row.parents) for row in made.train} == {0, 3}


def test_an_operator_of_several_calls_is_refused(tmp_path: Path) -> None:
    run = scripted_run(tmp_path / "run", vary="summarize_aggregate")
    refused(run, "'summarize_aggregate' asks the model several times for one child")


def test_templates_that_have_changed(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "sample.md").write_text("Think about {{ question }}")
    run = scripted_run(tmp_path / "run", prompts=folder)
    refused(run, "the prompt templates are not those of the run .*; give the --prompts FOLDER")
    assert (
        training_set(run.path, Recipe(prompts=folder))
        .train[0]
        .messages[0]["content"]
        .startswith("Think about")
    )


def test_an_operator_that_has_changed(words: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from evolve_llm.train import prompts

    real = prompts.rendered

    def other(*args: Any, **kwargs: Any) -> Any:
        from evolve_llm.nouns.request import Prompt

        made = real(*args, **kwargs)
        return Prompt.user(made.messages[-1].content + " ")

    monkeypatch.setattr(prompts, "rendered", other)
    refused(words, r"candidate 0\.0: the prompt made here is not the one that the run's model was asked")
