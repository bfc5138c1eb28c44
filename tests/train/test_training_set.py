"""Training sets made from stored runs: half and half, the run's own prompts, no test problem and no reference."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from scipy.stats import chisquare
from train_helpers import guessing, scripted_run, sums

from evolve_llm import Problem, Run
from evolve_llm.backends.scripted import Scripted
from evolve_llm.engine.calling import prompt_digest
from evolve_llm.train.dataset import Recipe, TrainingSet, training_set
from evolve_llm.train.groups import Drawing, shares
from evolve_llm.train.prompts import Prompter, aggregation_of, leak, scheme_of
from evolve_llm.train.rows import Row, problem_of
from evolve_llm.train.source import Source, Told
from evolve_llm.train.split import position, split

MIXED = Recipe(Drawing((0, 1), (2, 3)), test_share=0.3, most=4)


def everything(made: TrainingSet) -> list[Row]:
    return [*made.train, *made.test]


def told_of(run: Run, place: int = 0) -> Told:
    source = Source(run.path)
    return next(iter(source.told([source.problems[place]], texts=True)))


def test_half_of_the_rows_are_standard_and_every_pair_holds_both(words: Run) -> None:
    made = training_set(words.path, MIXED)
    assert len(made.train) >= 30
    for rows in (made.train, made.test):
        assert [row.kind for row in rows] == ["standard", "aggregation"] * (len(rows) // 2)
    for row in everything(made):
        assert len(row.parents) == (0 if row.kind == "standard" else len(set(row.parents)))
        assert len(row.parents) in ({0} if row.kind == "standard" else {2, 3})
        assert all(uid.startswith(f"{row.generation}.") for uid in row.parents)


def test_nobody_is_on_both_sides_and_a_side_is_a_matter_of_the_id(words: Run) -> None:
    made = training_set(words.path, MIXED)
    train, test = ({row.problem.id for row in rows} for rows in (made.train, made.test))
    assert train
    assert test
    assert not train & test
    assert all(position(one) >= 0.3 for one in train)
    assert all(position(one) < 0.3 for one in test)
    few, many = sums(10), sums(200)
    assert split(few, 0.3)[1] == [one for one in split(many, 0.3)[1] if one in few]


def test_groups_are_mixed_and_their_rightness_is_the_verdict(words: Run) -> None:
    made = training_set(words.path, MIXED)
    populations = {problem.id: stored for problem, stored in words.populations()}
    groups = [row for row in everything(made) if row.kind == "aggregation"]
    assert groups
    for row in groups:
        assert row.generation is not None
        stored = populations[row.problem.id][row.generation]
        assert row.parents_right == tuple(stored.verdicts[uid].correct for uid in row.parents)
        assert 0 < sum(row.parents_right) < len(row.parents)
        shown = {one.uid: one.text for one in stored.members}
        said = row.prompt.messages[-1].content
        places = [said.index(shown[uid]) for uid in row.parents]
        assert places == sorted(places)


@pytest.mark.parametrize("keep", ["none", "mixed"])
def test_every_set_of_parents_is_equally_likely(words: Run, keep: str) -> None:
    told = told_of(words, 3)
    drawing = Drawing((0,), (3,), "mixed" if keep == "mixed" else "none")
    drawn = [drawing.draw(told, number, 7) for number in range(6000)]
    counts = Counter(frozenset(one.parents) for one in drawn)
    pool = told.pool(0)
    sets = [
        frozenset(some)
        for some in combinations(pool, 3)
        if keep == "none" or 0 < sum(told.right[uid] for uid in some) < 3
    ]
    assert set(counts) == set(sets)
    assert chisquare([counts[one] for one in sets]).pvalue > 0.001
    first = Counter(one.parents[0] for one in drawn)
    if keep == "none":
        assert chisquare([first[uid] for uid in pool]).pvalue > 0.001


def test_generations_and_numbers_of_candidates_are_drawn_evenly(words: Run) -> None:
    drawing = Drawing((0, 1, 2), (2, 4), "none")
    told = told_of(words)
    drawn = Counter(
        (one.generation, len(one.parents)) for one in (drawing.draw(told, n, 1) for n in range(3000))
    )
    assert len(drawn) == 6
    assert chisquare(list(drawn.values())).pvalue > 0.001


def test_groups_are_shared_out_as_evenly_as_can_be() -> None:
    counts = shares(10, ["a", "b", "c", "d"], 3, 0, 4)
    assert sorted(counts.values()) == [2, 2, 3, 3]


def test_the_prompts_of_the_run_are_made_again_to_the_letter(words: Run) -> None:
    source = Source(words.path)
    scheme = scheme_of(source, None, None)
    prompter = Prompter(scheme, aggregation_of(scheme), 0, None, None)

    async def check_all() -> int:
        found = source.told(source.problems, texts=True)
        return sum([await prompter.verify(told, all_children=True) for told in found])

    assert asyncio.run(check_all()) == 30 * 6 * 3
    made = training_set(words.path, MIXED)
    assert made.card["checked"]["prompts_equal_to_the_run"] == 30 * 3
    digests = {row[0] for row in _prompts(words)}
    standard = [row for row in everything(made) if row.kind == "standard"]
    assert {prompt_digest(row.prompt) for row in standard} <= digests


def _prompts(run: Run) -> list[tuple[str]]:
    import sqlite3

    db = sqlite3.connect(run.path / "run.db")
    try:
        return db.execute("SELECT prompt FROM completions").fetchall()
    finally:
        db.close()


def test_other_references_change_no_prompt(words: Run, tmp_path: Path) -> None:
    """Invariant I3 for training sets: the groups may be others, because who is mixed is read off the verdicts."""
    plain = Recipe(Drawing((0, 1), (3,), "none"))
    others = [
        Problem(one.id, one.question, one.format, one.grader, f"canary{one.reference}") for one in sums()
    ]
    changed = training_set(scripted_run(tmp_path / "run", others).path, plain)
    made = training_set(words.path, plain)
    assert [row.prompt for row in made.train] == [row.prompt for row in changed.train]
    assert not any("canary" in str(row.messages) for row in everything(changed))
    assert {row.parents_right for row in changed.train if row.parents} == {(False,) * 3}


def test_a_reference_outside_of_question_and_candidates_is_found() -> None:
    from evolve_llm.nouns.request import Prompt

    problem = Problem("p", "Name the number42 again", reference="number42", metadata={"hint": "number42"})
    fair = Prompt.user("Solve.\nName the number42 again\nA says number42")
    assert leak(fair, problem, ["A says number42"], "Solve.") is None
    assert leak(Prompt.user("Solve. number42"), problem, [], "Solve.") == "number42"
    assert leak(Prompt.user("Solve. number42"), problem, [], "Solve. number42") is None
    assert leak(Prompt.user("Solve. number421"), problem, [], "Solve.") is None
    nested = Problem("p", "?", reference={"tests": ["assert f(1) == 2", 7]})
    assert leak(Prompt.user("? assert f(1) == 2"), nested, [], "") == "assert f(1) == 2"


def test_a_template_that_shows_the_reference_is_refused(tmp_path: Path) -> None:
    from evolve_llm.nouns.errors import UserError

    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "sample.md").write_text("{{ question }} (as in {{ problem.metadata['source'] }})")
    problems = [
        Problem(
            one.id,
            one.question,
            one.format,
            one.grader,
            one.reference,
            {"source": f"book of {one.reference}"},
        )
        for one in sums()
    ]
    run = scripted_run(tmp_path / "run", problems, prompts=folder)
    with pytest.raises(UserError, match=r"standard prompt of problem 'sum/.*' holds its reference \('number"):
        training_set(run.path, Recipe(prompts=folder))


def test_a_row_gives_its_problem_back_with_the_reference(words: Run) -> None:
    row = training_set(words.path, MIXED).train[1]
    plain = json.loads(json.dumps(row.plain()))
    assert problem_of(plain) == row.problem
    assert plain["prompt"][-1]["role"] == "user"


def test_thinking_is_carried_into_prompts_as_the_run_carried_it(tmp_path: Path) -> None:
    def thinks(request: object) -> str:
        return f"<think>line {'x' * 200}\nlate</think>{guessing()(request)}"  # type: ignore[arg-type]

    for policy, changes in (("answer", {}), ("tail", {"carry.tokens": 20})):
        run = scripted_run(
            tmp_path / policy,
            model=Scripted(thinks),
            **{"carry": {"policy": policy, **({"tokens": 20} if changes else {})}},
        )
        made = training_set(run.path, Recipe(Drawing((0,), (3,))))
        shown = [row.messages[-1]["content"] for row in made.train if row.kind == "aggregation"]
        assert made.card["checked"]["prompts_equal_to_the_run"] == 90
        assert not any("x" * 200 in one for one in shown)


@pytest.mark.model
def test_a_training_set_of_the_fly_is_token_exact(fly_run: Run) -> None:
    transformers = pytest.importorskip("transformers")
    from evolve_llm.backends.fly import FOLDER

    recipe = Recipe(Drawing((0, 1), (2, 4, 8)), model="fly", test_share=0.25)
    made = training_set(fly_run.path, recipe)
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    assert len(made.train) >= 30
    for row in everything(made):
        text = row.prompt.messages[0].content
        told = tokenizer.apply_chat_template(row.messages, add_generation_prompt=True)
        ids = told["input_ids"] if not isinstance(told, list) else told
        assert row.prompt_tokens == len(ids) == len(text)
        assert tokenizer.decode(ids) == text
    assert made.card["settings"]["tokens"] == "counted"
    assert made.card["run"]["seed"] == 0
    assert made.card["run"]["model"] == "llama_cpp:fly"
    curve = {(one["candidates"], one["right"]): one["child_right"] for one in made.card["run_curve"]}
    assert curve[4, 2] > curve[4, 0]
