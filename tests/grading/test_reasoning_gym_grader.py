"""Reasoning Gym: every task's own answer is right, another is not, and no answer is ever executed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from evolve_llm_problems.reasoning_gym_checks import DECIDED, REFUSED
from evolve_llm_problems.reasoning_gym_grader import grader, plain_tasks
from grading_helpers import problem, with_pool

from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.verdict import Grade, Verdict

gym = pytest.importorskip("reasoning_gym")
from reasoning_gym.dataset import ProceduralDataset  # noqa: E402
from reasoning_gym.factory import DATASETS  # noqa: E402

TASKS = sorted(name for name in DATASETS if name != "composite")
EVALUATES = [
    "n_queens", "binary_matrix", "spiral_matrix", "string_insertion", "countdown", "puzzle24",
    "polynomial_multiplication", "intermediate_integration", "simple_integration", "codeio",
]  # fmt: skip


def entry(task: str, index: int = 0) -> dict[str, Any]:
    """An entry as it comes out of a file: JSON, with no tuples left."""
    found = json.loads(json.dumps(gym.create_dataset(task, seed=11, size=index + 1)[index], default=str))
    assert isinstance(found, dict)
    return found


def known_answer(item: dict[str, Any]) -> str | None:
    """An answer that is right, where the entry tells one."""
    metadata = item["metadata"]
    if isinstance(item["answer"], str):
        return item["answer"]
    if "possible_answer" in metadata:
        return json.dumps(metadata["possible_answer"])
    return metadata.get("example_correct_answer") or metadata.get("example_answer")


def posed(task: str, item: Any = None, name: str = "p") -> Problem:
    return problem("reasoning_gym", {"task": task, "entry": entry(task) if item is None else item}, name)


def grades(pairs: list[tuple[Problem, str]], **settings: Any) -> list[Verdict]:
    async def work(pool: GradingPool) -> list[Verdict]:
        return [await pool.grade(one, answer) for one, answer in pairs]

    return with_pool(work, **settings)


def test_importing_the_grader_does_not_import_the_package() -> None:
    code = (
        "import sys, evolve_llm_problems.reasoning_gym_grader as g\n"
        "r = {'task': 'chain_sum', 'entry': {'question': '', 'answer': '5', 'metadata': {}}}\n"
        "assert g.grader.quick('5', r).correct and g.grader.isolation(r) == 'sandbox'\n"
        "assert 'lcm' in g.plain_tasks()\n"
        "bad = [m for m in ('reasoning_gym', 'sympy', 'numpy') if m in sys.modules]\n"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_plain_tasks_are_exactly_those_that_inherit_the_scorer() -> None:
    inherit = {
        name for name, (kind, _) in DATASETS.items() if kind.score_answer is ProceduralDataset.score_answer
    }
    assert plain_tasks() == inherit
    assert not plain_tasks() & (set(DECIDED) | set(REFUSED))


@pytest.mark.parametrize("task", sorted(plain_tasks()))
def test_plain_tasks_are_scored_as_the_package_does(task: str) -> None:
    dataset = gym.create_dataset(task, seed=11, size=1)
    item = entry(task)
    for answer in (item["answer"], item["answer"] + " and more", "no", item["answer"][:-1] or "z"):
        verdict = grader.quick(answer, {"task": task, "entry": item})
        assert verdict is not None
        assert verdict.score == pytest.approx(dataset.score_answer(answer, item)), answer
        assert verdict.correct == (verdict.score == 1.0)


@pytest.mark.sandbox
@pytest.mark.slow
def test_the_oracle_answer_is_correct_and_another_is_not_for_every_task() -> None:
    pairs: list[tuple[Problem, str]] = []
    wanted: list[bool] = []
    for task in TASKS:
        item = entry(task)
        one, right = posed(task, item, task), known_answer(item)
        other = next(
            (a for a in (known_answer(entry(task, n)) for n in range(1, 6)) if a and a != right), None
        )
        if right is not None:
            pairs.append((one, f"\n {right} \n"))
            wanted.append(True)
        for wrong in ("I do not know", "nan", "[]", "{}", other if task not in ("graph_color",) else None):
            # Another entry's answer may be right by chance where there are few, or many right ones.
            if (
                wrong is not None
                and wrong != right
                and not (wrong == other and task == "propositional_logic")
            ):
                pairs.append((one, wrong))
                wanted.append(False)
    verdicts = grades(pairs, workers=2)
    failures = [
        (one.id, answer[:60], verdict)
        for (one, answer), verdict, want in zip(pairs, verdicts, wanted, strict=True)
        if verdict.grade is not (Grade.CORRECT if want else Grade.INCORRECT)
    ]
    assert failures == []


def payloads(canary: Path) -> list[str]:
    """Answers that write the canary when anything evaluates them, in the styles that get past naive filters."""
    write = f"open({str(canary)!r},'w').write('x')"
    shell = f"__import__('os').system('touch {canary}')"
    return [
        write,
        shell,
        f"[{write}]",
        f"[[{write}, 0], [0, 1]]",
        f"(lambda: {write})()",
        f"exec({write!r})",
        f"[x for x in [{shell}]]",
        f"f'{{{write}}}'",
        f"1 + {write}",
        f"x**2 + {write}",
        f"E**({write})",
        f"sin({shell})",
        f"{write} or 24",
        f"6*4*{shell}",
        f"().__class__.__base__.__subclasses__() or {write}",
        f"x.__class__.__init__.__globals__['__builtins__']['open']({str(canary)!r}, 'w')",
        f"'; import os; os.system('touch {canary}') #",
        f"import os\nos.system('touch {canary}')",
        f'{{"steps": "{write}"}}',
        f"Q _ _\n{write}",
        f"\\boxed{{{write}}}",
        f"{write}\u200b",
    ]


@pytest.mark.sandbox
@pytest.mark.parametrize("task", EVALUATES)
def test_code_as_an_answer_is_incorrect_and_never_runs(task: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    verdicts = grades([(posed(task), payload) for payload in payloads(canary)])
    assert {verdict.grade for verdict in verdicts} == {Grade.INCORRECT}, verdicts
    assert not canary.exists()


@pytest.mark.sandbox
@pytest.mark.slow
def test_code_as_an_answer_to_any_other_task_is_incorrect(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pairs = [(posed(task, name=task), payload) for task in TASKS for payload in payloads(canary)[:4]]
    verdicts = grades(pairs, workers=2)
    bad = [
        (one.id, answer, v)
        for (one, answer), v in zip(pairs, verdicts, strict=True)
        if v.grade != "incorrect"
    ]
    assert bad == []
    assert not canary.exists()


@pytest.mark.parametrize("task", [task for task in EVALUATES if task in DECIDED or task in REFUSED])
def test_code_is_refused_before_any_worker_is_asked(task: str, tmp_path: Path) -> None:
    reference = {"task": task, "entry": entry(task)}
    for payload in payloads(tmp_path / "canary"):
        verdict = grader.quick(payload, reference)
        assert verdict is not None
        assert verdict.grade is Grade.INCORRECT


COUNTDOWN = {
    "question": "",
    "answer": "82 + 20 + 67 - 50",
    "metadata": {"numbers": [67, 50, 20, 82], "target": 119},
}
PUZZLE24 = {"question": "", "answer": "4*8 - 6 - 2", "metadata": {"numbers": [4, 8, 6, 2]}}
WORDS = {"question": "", "answer": "b, a", "metadata": {"sorted_words": ["b", "a"]}}
SORTED = {"question": "", "answer": "['1', '2.50']", "metadata": {"direction": "ascending"}}
DAYS = {"question": "", "answer": "5 days", "metadata": {"task_type": "date"}}
POLYNOMIAL = {"question": "", "answer": "1.5, 2.0", "metadata": {}}


@pytest.mark.parametrize(
    ("task", "item", "answer", "rule"),
    [
        ("puzzle24", PUZZLE24, "8*6/2", "wrong-numbers"),
        ("puzzle24", PUZZLE24, "6+6+6+6", "wrong-numbers"),
        ("puzzle24", PUZZLE24, "4*8 - 6 - 1", "wrong-numbers"),
        ("puzzle24", PUZZLE24, "4*8 - 6 + 2", "exact-rational"),
        ("puzzle24", PUZZLE24, "4*8 - 6 - 2 = 24", "not-an-expression"),
        ("puzzle24", PUZZLE24, "4**8**6**2", "not-an-expression"),
        ("countdown", COUNTDOWN, "82 + 20 + 67", "wrong-numbers"),
        ("countdown", COUNTDOWN, "119", "wrong-numbers"),
        ("countdown", COUNTDOWN, "82 + 20 + 67 - 50 + 0.0000001", "not-an-expression"),
        ("countdown", COUNTDOWN, "82 20 67 50", "not-an-expression"),
        ("word_sorting", WORDS, "b, a, c", "exact-list"),
        ("number_sorting", SORTED, "['1.9', '2.50']", "exact-list"),
        ("number_sorting", SORTED, "[NaN, NaN]", "not-a-list"),
        ("time_intervals", DAYS, "5 months", "not-a-duration"),
        ("polynomial_equations", POLYNOMIAL, "1.5, 2.0, banana", "not-a-list"),
        ("polynomial_equations", {**POLYNOMIAL, "answer": ""}, "banana", "not-empty"),
        ("complex_arithmetic", {"answer": "1 + 2i", "metadata": {"result": [1, 2]}}, "nan", "not-a-number"),
        (
            "complex_arithmetic",
            {"answer": "1 + 2i", "metadata": {"result": [1, 2]}},
            "nan+nani",
            "not-a-number",
        ),
        ("coin_flip", {"answer": "0.375", "metadata": {}}, "0", "within-tolerance"),
        ("coin_flip", {"answer": "0.375", "metadata": {}}, "0.3", "within-tolerance"),
        ("game_of_life_halting", {"answer": "False", "metadata": {}}, "True", "exact-text"),
        ("game_of_life_halting", {"answer": "False", "metadata": {}}, "perhaps", "not-a-boolean"),
        ("game_of_life", {"answer": "[[0]]", "metadata": {}}, "[[0, 1], [1]]", "exact-json"),
        ("figlet_font", {"answer": "ABCDEFGHIJKL", "metadata": {}}, "ABCDEFGHIJXX", "exact-text"),
        ("letter_jumble", {"answer": "one two", "metadata": {}}, "one two three", "exact-text"),
        ("gsm_symbolic", {"answer": "12", "metadata": {}}, "-12", "exact-rational"),
        ("gsm_symbolic", {"answer": "12", "metadata": {}}, "12 or 13", "not-a-number"),
        (
            "fraction_simplification",
            {"answer": r"$\frac{1}{2}$", "metadata": {}},
            r"\frac{1}{2}+5",
            "not-a-fraction",
        ),
        ("chain_sum", {"answer": "123", "metadata": {}}, "1,2,3", "not-a-number"),
        ("rush_hour", {"answer": None, "metadata": {}}, "A+99999999999", "not-a-move"),
        ("rubiks_cube", {"answer": None, "metadata": {}}, "U999999999", "not-a-move"),
        ("power_function", {"answer": "1.5", "metadata": {}}, "1e999999999", "not-a-number"),
    ],
)
def test_what_the_package_scores_wrongly_or_hangs_on(
    task: str, item: dict[str, Any], answer: str, rule: str
) -> None:
    verdict = grader.quick(answer, {"task": task, "entry": item})
    assert verdict is not None
    assert (verdict.grade, verdict.rule) == (Grade.INCORRECT, rule)
    assert verdict.score is None or verdict.score < 1.0


@pytest.mark.parametrize(
    ("task", "item", "answer"),
    [
        ("puzzle24", PUZZLE24, "8*4 - (2 + 6)"),
        ("puzzle24", PUZZLE24, " 8 * 4\n- 6 − 2 "),
        ("countdown", COUNTDOWN, "-50 + (82 + 20) + 67"),
        ("number_sorting", SORTED, '["1.0", 2.5]'),
        ("word_sorting", WORDS, " b,a "),
        ("coin_flip", {"answer": "0.375", "metadata": {}}, r"\frac{3}{8}"),
        ("game_of_life_halting", {"answer": "False", "metadata": {}}, "false."),
        ("gsm_symbolic", {"answer": "1200", "metadata": {}}, "$1,200"),
    ],
)
def test_other_right_answers_are_right(task: str, item: dict[str, Any], answer: str) -> None:
    verdict = grader.quick(answer, {"task": task, "entry": item})
    assert verdict is not None
    assert verdict.correct, verdict


@pytest.mark.sandbox
def test_scorers_in_the_sandbox_find_equivalent_answers() -> None:
    integral = {"question": "", "answer": "x**2 + C", "metadata": {"variable": "x", "integrand": "2*x"}}
    cases = [
        ("simple_integration", integral, "C + x*x", Grade.CORRECT),
        ("simple_integration", integral, "(x - 1)*(x + 1)", Grade.CORRECT),
        ("simple_integration", integral, "x**2 + x", Grade.INCORRECT),
        ("simple_integration", integral, "Integral(2*x, x)", Grade.INCORRECT),
        ("simple_integration", integral, "x**(9**(9**9))", Grade.INCORRECT),
        ("simple_integration", json.dumps(integral), "x**2", Grade.CORRECT),
        ("chain_sum", {"question": "", "answer": "1000", "metadata": {}}, "+01,000.00", Grade.CORRECT),
        ("no_such_task", {"question": "", "answer": "1", "metadata": {}}, "2", Grade.UNGRADED),
        ("calendar_arithmetic", {"question": "", "answer": "x", "metadata": {}}, "2", Grade.UNGRADED),
    ]
    verdicts = grades(
        [(posed(task, item, str(n)), answer) for n, (task, item, answer, _) in enumerate(cases)]
    )
    assert [verdict.grade for verdict in verdicts] == [case[3] for case in cases], verdicts


@pytest.mark.parametrize(
    "reference", [5, "x", {}, {"task": "lcm"}, {"task": "lcm", "entry": "{"}, {"entry": {}}]
)
def test_a_reference_of_another_shape_is_ungraded(reference: object) -> None:
    one = problem("reasoning_gym", reference)
    verdict = with_pool(lambda pool: pool.grade(one, "5"), unsafe_local=True)
    assert verdict.grade is Grade.UNGRADED
