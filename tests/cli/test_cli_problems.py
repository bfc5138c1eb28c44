"""``problems``: what a set gives, and a grader tried alone on a file of answers; results by discipline or task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import Cli

from evolve_llm.analysis.power import power_statement
from evolve_llm.cli.grid_picture import drawn, picture
from evolve_llm.scheme import registry
from evolve_llm.scheme.problem_sets import load_problems

CHOICES = [
    {"uuid": f"u{n}", "question": f"What is {n}+{n}?", "options": ["two", "four", "six", "eight"],
     "answer": ["two", "four", "six"][n - 1], "answer_letter": "ABC"[n - 1], "discipline": name}
    for n, name in ((1, "Science"), (2, "Law"), (3, "Science"))
]  # fmt: skip
ARC = [
    {"id": "t1", "train": [{"input": [[1, 0]], "output": [[0, 1]]}],
     "test": [{"input": [[2, 0]], "output": [[0, 2]]}, {"input": [[3, 0], [0, 0]], "output": [[0, 3], [0, 0]]}]},
    {"id": "t2", "train": [{"input": [[1, 0]], "output": [[0, 1]]}], "test": [{"input": [[4]], "output": [[4]]}]},
]  # fmt: skip


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def choices(tmp_path: Path) -> str:
    return f"supergpqa:{lines(tmp_path / 'choices.jsonl', CHOICES)}"


@pytest.fixture
def arc(tmp_path: Path) -> str:
    return f"arc_agi_2:{lines(tmp_path / 'arc.jsonl', ARC)}"


def test_the_power_comes_first_and_the_first_question_is_what_the_model_sees(cli: Cli, choices: str) -> None:
    done = cli("problems", choices)
    assert done.code == 0
    assert done.out.startswith("power: 3 problems are too few to tell two schemes apart")
    for piece in (
        "option 3",
        "Science 2, Law 1",
        "supergpqa/u1, as the model sees it",
        "A. two",
        "inside \\boxed{}",
    ):
        assert piece in done.out
    data = cli("problems", choices, "--limit", "2", "--json").json
    assert data["problems"] == data["graded"] == 2
    assert data["kinds"]["discipline"] == {"Science": 1, "Law": 1}
    assert data["prompt_tokens"]["least"] <= data["prompt_tokens"]["median"] <= data["prompt_tokens"]["most"]
    assert data["grading"] == {"option": "a process that is killed at its deadline"}
    (message,) = data["first"]["messages"]
    assert message["content"].startswith("What is 1+1?\n\nA. two")


def test_problems_without_answers_have_no_power(cli: Cli, tmp_path: Path) -> None:
    path = lines(tmp_path / "open.jsonl", [{"question": "Why?"}])
    data = cli("problems", str(path), "--json").json
    assert (data["power"], data["graded"], data["grading"]) == (None, 0, {})
    assert "1 of them not graded" in cli("problems", str(path)).out


def test_a_sandbox_that_cannot_be_had_is_said_and_grading_refused(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from evolve_llm.grading import sandbox
    from evolve_llm.nouns.errors import SandboxUnavailable

    def require() -> None:
        raise SandboxUnavailable("no bubblewrap here")

    monkeypatch.setattr(sandbox, "require", require)
    spec = "reasoning_gym:polynomial_multiplication?size=1"
    assert (
        "cannot be had here: no bubblewrap here"
        in cli("problems", spec, "--json").json["grading"]["reasoning_gym"]
    )
    answers = lines(tmp_path / "a.jsonl", [{"id": "polynomial_multiplication/seed0/0", "answer": "1"}])
    refused = cli("problems", spec, "--grade", str(answers))
    assert (refused.code, "no bubblewrap here" in refused.err) == (2, True)


def test_answers_and_whole_texts_are_graded(cli: Cli, choices: str, tmp_path: Path) -> None:
    rows = [
        {"id": "supergpqa/u1", "answer": "A"},
        {"id": "supergpqa/u1", "text": "<think>the answer is A</think>The answer is (B)."},
        {"problem": "supergpqa/u2", "completion": "It is \\boxed{four}"},
        {"id": "supergpqa/u3", "text": "I do not know"},
        {"id": "supergpqa/u3", "text": "The answer is A or C."},
        {"id": "supergpqa/u3", "answer": None},
    ]
    answers = lines(tmp_path / "answers.jsonl", rows)
    data = cli("problems", choices, "--grade", str(answers), "--json").json
    assert [(one["verdict"], one["rule"]) for one in data["verdicts"]] == [
        ("correct", "option"), ("incorrect", "option"), ("correct", "option-text"), *[("incorrect", "no-answer")] * 3,
    ]  # fmt: skip
    assert (data["answers"], data["answered"], data["correct"], data["pass@1"]) == (6, 3, 2, 0.5)
    printed = cli("problems", choices, "--grade", str(answers)).out
    assert "6 answers to 3 of 3 problems: 2 correct, 4 incorrect, 0 ungraded; pass@1 0.500" in printed


def test_grids_may_be_written_as_json_in_an_answer_file(cli: Cli, arc: str, tmp_path: Path) -> None:
    rows = [
        {"id": "arc_agi_2/t1/0", "answer": [[0, 2]]},
        {"id": "arc_agi_2/t1/1", "text": "so\n0 3\n0 1\n"},
        {"id": "arc_agi_2/t2/0", "answer": 4},
    ]
    answers = lines(tmp_path / "answers.jsonl", rows)
    data = cli("problems", arc, "--grade", str(answers), "--json").json
    assert [(one["verdict"], one["score"]) for one in data["verdicts"]] == [
        ("correct", 1.0), ("incorrect", 0.75), ("correct", 1.0),
    ]  # fmt: skip
    assert data["verdicts"][1]["detail"] == "1 of 4 cells differ"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no answers"),
        ("{", "line 1 is not JSON"),
        ("[1]", "line 1 is no JSON object"),
        ('{"answer": "A"}', "line 1 has no 'id' or 'problem'"),
        (
            '\n{"id": "supergpqa/u9", "answer": "A"}',
            "line 2: no problem 'supergpqa/u9' is in the set. Did you mean",
        ),
        (
            '{"id": "supergpqa/u1", "reply": "A"}',
            "line 1 has neither an 'answer' nor a 'text'; it has 'id', 'reply'",
        ),
        ('{"id": "supergpqa/u1", "answer": true}', "line 1: 'answer' is of type bool"),
    ],
)
def test_a_file_of_something_else_is_refused(
    cli: Cli, choices: str, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(content)
    done = cli("problems", choices, "--grade", str(path))
    assert done.code == 2
    assert message in done.err
    assert cli("problems", choices, "--grade", str(tmp_path / "none")).code == 2


HUB_ONLY = {
    "aime25": "aime25:FILE", "hmmt25": "hmmt25:FILE", "supergpqa": "supergpqa:FILE", "gpqa": "gpqa:FILE",
    "mmlu_pro": "mmlu_pro:FILE", "livecodebench": "livecodebench:", "humaneval": "humaneval:", "mbpp": "mbpp:",
    "hf:owner/name": "hf:FOLDER", "arc_agi_1": "arc_agi_1:", "arc_agi_2": "arc_agi_2:",
}  # fmt: skip


@pytest.mark.parametrize("spec", HUB_ONLY)
def test_with_the_hub_out_of_reach_each_set_says_what_to_do(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    import datasets
    import huggingface_hub

    def unreachable(*_: Any, **__: Any) -> Any:
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    done = cli("run", "--problems", spec, "--model", "scripted")
    assert done.code == 2
    assert HUB_ONLY[spec] in done.err
    assert "Traceback" not in done.err


@pytest.mark.sandbox
def test_every_set_runs_from_a_local_file(
    cli: Cli, choices: str, arc: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: Any) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr("socket.socket.connect", no_network)
    gpqa = {"Record ID": "r", "Question": "1+1?", "Correct Answer": "2",
            **{f"Incorrect Answer {n}": str(n + 2) for n in (1, 2, 3)}}  # fmt: skip
    mmlu = {"question_id": 1, "question": "1+1?", "options": ["2", "3"], "answer": "A", "category": "math"}
    maths = {"problem_idx": 1, "problem": "Find $1+1$.", "answer": 2}
    program = {"question_title": "Sum", "question_content": "Add two numbers.", "platform": "atcoder",
               "question_id": "x_a", "contest_id": "x", "contest_date": "2025-01-01T00:00:00",
               "starter_code": "", "difficulty": "easy",
               "public_test_cases": json.dumps([{"input": "1 2", "output": "3", "testtype": "stdin"}]),
               "private_test_cases": "[]", "metadata": "{}"}  # fmt: skip
    human = {"task_id": "X/0", "prompt": "def add(a, b):\n", "entry_point": "add",
             "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n"}  # fmt: skip
    mbpp = {"task_id": 11, "text": "Add.", "test_list": ["assert add(1, 2) == 3"], "test_setup_code": ""}
    files = {"gpqa": [gpqa], "mmlu_pro": [mmlu], "arc_agi_1": ARC, "aime25": [maths], "hmmt25": [maths],
             "livecodebench": [program], "humaneval": [human], "mbpp": [mbpp], "file": [maths]}  # fmt: skip
    others = [f"{name}:{lines(tmp_path / f'{name}.jsonl', rows)}" for name, rows in files.items()]
    (tmp_path / "folder").mkdir()
    lines(tmp_path / "folder" / "train.jsonl", [maths])
    (tmp_path / "tasks.py").write_text(
        "from inspect_ai import Task, task\nfrom inspect_ai.dataset import Sample\n"
        "from inspect_ai.scorer import match\n"
        "@task\ndef one():\n    return Task(dataset=[Sample(input='1+1?', target='2')], scorer=match())\n"
    )
    drawn = [f"inspect:{tmp_path / 'tasks.py'}", f"hf:{tmp_path / 'folder'}", "locks?size=2",
             "reasoning_gym:chain_sum?size=2", "rg_games?size=17", "rg_cognition?size=8"]  # fmt: skip
    specs = [choices, arc, *others, *drawn]
    named = {spec.partition(":")[0].partition("?")[0] for spec in specs}
    ours = {
        name for name in registry.available("problem set")
        if registry.load("problem set", name).__module__.startswith("evolve_llm_problems")
    }  # fmt: skip
    assert named >= ours, "a new set belongs into this test"
    for number, spec in enumerate(specs):
        done = cli("run", "--preset", "rsa", "--problems", spec, "--model", "scripted", "--limit", "3",
                   "--population", "4", "--generations", "2", "--out", str(tmp_path / f"run{number}"))  # fmt: skip
        assert done.code == 0, (spec, done.err)


@pytest.mark.sandbox
def test_tables_of_programs_say_which_reading_counts_and_where_the_other_parts(
    cli: Cli, tmp_path: Path
) -> None:
    tests = json.dumps([{"input": "1 2", "output": "3", "testtype": "stdin"}])
    rows = [
        {"question_title": "Sum", "question_content": f"Add, {n}.", "platform": "atcoder", "question_id": n,
         "contest_id": "x", "contest_date": "2025-01-01T00:00:00", "starter_code": "", "difficulty": "easy",
         "public_test_cases": tests, "private_test_cases": "[]", "metadata": "{}"}
        for n in ("a", "b")
    ]  # fmt: skip
    spec = f"livecodebench:{lines(tmp_path / 'rows.jsonl', rows)}"
    both = "a, b = map(int, input().split())\nprint(a + b)"
    script_only = "import os\nprint(sum(map(int, os.read(0, 99).split())))"
    ids = [one.id for one in load_problems(spec)]
    answers = lines(tmp_path / "answers.jsonl", [
        {"id": ids[0], "answer": both}, {"id": ids[0], "answer": script_only}, {"id": ids[0], "answer": script_only},
        {"id": ids[1], "answer": "print(4)"},
    ])  # fmt: skip
    said = (
        "verdicts are by the reading 'script' (3 distinct answers); 'lcb' parts from it on 1 of 3: "
        "1 right by 'script' alone, 0 by 'lcb' alone"
    )
    assert said in cli("problems", spec, "--grade", str(answers)).out
    (reading,) = cli("problems", spec, "--grade", str(answers), "--json").json["readings"]
    assert reading == {
        "name": "script",
        "answers": 3,
        "others": [{"other": "lcb", "answers": 3, "stricter": 1, "laxer": 0}],
    }
    runs = [str(tmp_path / name) for name in ("one", "two", "three")]
    small = ("--preset", "rsa", "--model", "scripted", "--population", "4", "--generations", "2")
    for run, seed, chosen in zip(runs, "001", (spec, spec, f"{spec}?grader=lcb"), strict=True):
        done = cli("run", *small, "--problems", chosen, "--seed", seed, "--out", run)
        assert done.code == 0, done.err
        assert "verdicts are by the reading" in done.out
    for shown in (cli("show", runs[0]), cli("show", runs[0], "--by", "difficulty"), cli("regrade", runs[0])):
        assert "verdicts are by the reading 'script'" in shown.out
    assert cli("show", runs[0], "--json").json["run"]["readings"][0]["name"] == "script"
    assert "reading 'script'" in cli("compare", *runs[:2]).out
    mixed = cli("compare", runs[0], runs[2], "--allow-different-seeds")
    assert mixed.code == 2 or "different readings" in mixed.out


def test_results_by_discipline_and_by_task(cli: Cli, arc: str, choices: str, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    small = ("--population", "6", "--generations", "2", "--set", "max_tokens=200", "--model", "scripted")
    for spec, preset in ((choices, "rsa"), (arc, "rsa-arc")):
        run = f"{out}-{preset}"
        assert (
            cli("run", "--preset", preset, "--problems", spec, "--out", run, *small[:4], *small[6:]).code == 0
        )
    shown = cli("show", f"{out}-rsa", "--by", "discipline")
    assert shown.out.startswith("power: 3 problems")
    assert "mean over the 2 groups" in shown.out
    by_task = cli("show", f"{out}-rsa-arc", "--by", "task", "--json").json
    assert [(one["group"], one["problems"]) for one in by_task["groups"]] == [("t1", 2), ("t2", 1)]
    assert by_task["attempts"] == 2
    rates = [one["accuracy"] for one in by_task["groups"]]
    assert by_task["mean_of_groups"] == pytest.approx(sum(rates) / 2)
    assert "pass@2" in cli("show", f"{out}-rsa-arc").out
    assert "pass@2" not in cli("show", f"{out}-rsa").out
    wrong = cli("show", f"{out}-rsa", "--by", "colour")
    assert (wrong.code, "they have discipline" in wrong.err) == (2, True)
    assert cli("show", f"{out}-rsa", "--by", "discipline", "--problem", "supergpqa/u1").code == 2


def test_a_grid_is_drawn_where_it_stood_and_keeps_its_digits(cli: Cli, arc: str, tmp_path: Path) -> None:
    text = "Input:\n1 2\n3 4\nthen [[5]] \x1b[2J."
    found = drawn(text, registry.load("answer format", "grid").pictures(text))
    assert found.plain == "Input:\n1 2 \n3 4 \nthen \n5 \n ."
    assert {span.style for span in found.spans} >= {"white on #0074d9", "white on #ff4136"}
    assert picture([[7] * 90] * 90).plain.count("…") == 61
    run = str(tmp_path / "run")
    cli("run", "--preset", "rsa-arc", "--problems", arc, "--limit", "1", "--model", "scripted", "--population", "4",
        "--generations", "2", "--out", run)  # fmt: skip
    shown = cli("show", run, "--problem", "arc_agi_2/t1/0").out
    assert "Input:" in shown
    assert "2 0" in shown


def test_the_power_of_the_papers_thousand_questions() -> None:
    """41.85, 47.39 and 48.2 per cent: 1,000 questions tell the first from the others and not these two."""
    said = power_statement(1000)
    assert "differ by 3.2 points or more" in said
    assert said.endswith("2 points take 2,551")
    assert power_statement(1) == "power: one problem compares nothing"


def test_a_difference_larger_than_the_share_on_which_two_schemes_part_is_not_promised() -> None:
    """Of 13 in 100 problems that are decided, all for one scheme would be 13 points: what 61 problems find."""
    assert "differ by 12.9 points or more" in power_statement(61)
    assert power_statement(60).startswith(
        "power: 60 problems are too few to tell two schemes apart (80 % power"
    )
    assert power_statement(60).endswith("; 2 points take 2,551")
