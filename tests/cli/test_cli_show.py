"""``show``, ``plan``, ``list``, ``doctor``, ``ask``: looking without changing anything."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_helpers import PROGRAM, Cli, Outcome, start
from deap import tools

from evolve_llm import Problem, __version__, evolve
from evolve_llm.analysis.run import Run
from evolve_llm.cli import checks

Run_ = Callable[..., Outcome]


def test_help_imports_nothing_heavy_and_is_quick() -> None:
    heavy = (
        "pydantic",
        "deap",
        "numpy",
        "scipy",
        "openai",
        "jinja2",
        "sympy",
        "networkx",
        "sqlite3",
        "asyncio",
    )
    code = (
        "import sys; sys.argv = ['evolve-llm', '--help']\n"
        "from evolve_llm.cli.main import main\n"
        "try: main()\n"
        f"finally: print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    begun = time.perf_counter()
    subprocess.run([*PROGRAM, "--help"], capture_output=True, check=True)
    print(f"evolve-llm --help: {time.perf_counter() - begun:.3f} s")


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"{__version__}\n"


@pytest.mark.parametrize("command", ["run", "ask", "plan", "list", "show", "regrade", "export", "doctor"])
def test_every_command_has_help(cli: Cli, command: str) -> None:
    outcome = cli(command, "--help")
    assert outcome.code == 0
    assert "Usage" in outcome.out


# ---------------------------------------------------------------- show


def test_show_tells_what_run_told_and_the_settings(cli: Cli, run: Run_) -> None:
    done = run("--out", "here")
    shown = cli("show", "here")
    table, answers = done.out.rsplit("\n\n", 1)
    assert f"{table}\n\npopulation health\n" in shown.out
    assert shown.out.endswith(f"\n\n{answers}")
    for word in ("N=4, K=2, T=3", "temperature=1.0", "select uniform", "scripted"):
        assert word in shown.out
    assert cli("show", "here", "--json").json == Run("here").plain()


def test_a_customized_operator_is_shown_and_compared_by_its_own_name(cli: Cli, tmp_path: Path) -> None:
    problems = [Problem("a", "What is 2 + 3?", "boxed", "exact", "5")]
    given = {"evaluate": "length", "seed": 3}
    evolve(problems, "smoke", "scripted", out=tmp_path / "plain", **given)
    evolve(
        problems,
        "smoke",
        "scripted",
        out=tmp_path / "best",
        customize=lambda box: box.register("select", tools.selBest),
        **given,
    )
    shown = cli("show", str(tmp_path / "best")).out
    assert "selBest" in shown
    assert "select uniform" not in shown
    compared = cli("compare", str(tmp_path / "plain"), str(tmp_path / "best")).out
    assert "selBest" in compared
    assert "uniform" in compared


def health(text: str) -> tuple[str, list[list[str]]]:
    """The words of the header, and the cells of each row, of the table of population health."""
    table = text.partition("population health\n")[2].partition("\n\n")[0].splitlines()
    rule = next(i for i, line in enumerate(table) if line.startswith("─"))
    rows = [line.replace(" of ", "/").split() for line in table[rule + 1 :] if "takeover" not in line]
    return " ".join(table[:rule]), rows


def test_show_tells_the_health_of_the_populations(cli: Cli, run: Run_) -> None:
    """The table holds what the JSON holds; takeover times are counted here from the answers themselves."""
    run("--out", "here", "--set", "evaluate=agreement", "--set", "select=tournament")
    shown = cli("show", "here").out
    header, cells = health(shown)
    generations = cli("show", "here", "--json").json["generations"]
    for word in ("entropy", "classes", "intensity", "effective", "repeated", "cached", "minorities"):
        assert word in header

    def value(number: float | None, form: str) -> str:
        return "-" if number is None else format(number, form)

    assert cells == [
        [
            str(row["generation"]),
            value(row["entropy"], ".2f"),
            value(row["distinct"], ".1f"),
            value(row["selection_intensity"], "+.2f"),
            value(row["effective_parents"], ".1f"),
            value(row["repeated_parents"], ".0%"),
            value(row["cached_share"], ".0%"),
            f"{row['lost_minorities']}/{row['minorities']}" if row["minorities"] else "-",
        ]
        for row in generations
    ]
    assert any(row["selection_intensity"] is not None for row in generations)
    assert any(row["lost_minorities"] for row in generations)

    times: dict[float, list[int]] = {0.5: [], 1.0: []}
    for _, populations in Run("here").populations():
        answers = [[one.answer_class for one in population.members] for population in populations]
        winner = max(answers[-1], key=answers[-1].count)
        for share, found in times.items():
            found.append(next(g for g, held in enumerate(answers) if held.count(winner) >= share * len(held)))
    half, whole = (sorted(found)[1] for found in times.values())
    assert f"half in generation {half} (3 of 3 problems), all in generation {whole} (3 of 3)" in shown


def test_the_table_of_health_leaves_out_what_there_is_nothing_of(cli: Cli, problems: str) -> None:
    cli("run", "--model", "scripted:answers=1", "--problems", problems, "--preset", "majority-voting",
        "--population", "4", "--out", "votes")  # fmt: skip
    header, cells = health(cli("show", "votes").out)
    assert "entropy" in header
    for word in ("intensity", "effective", "repeated", "minorities"):
        assert word not in header
    assert [row[1] for row in cells] == ["0.00"]
    cli("run", "--model", "scripted", "--problems", problems, "--out", "begun", "--budget-tokens", "1",
        "--concurrency", "1")  # fmt: skip
    assert "population health" not in cli("show", "begun").out
    cli("run", "--model", "scripted:fail=1", "--problems", problems, "--out", "failed")
    assert "half never (0 of 3 problems), all never (0 of 3)" in cli("show", "failed").out


def test_show_a_problem_with_its_votes_and_lineage(cli: Cli, run: Run_) -> None:
    run("--out", "here", model="scripted:fail=0.2")
    data = cli("show", "here", "--problem", "a", "--json").json
    assert data["reference"] == "5"
    members = Run("here").population("a")
    last = data["generations"][-1]
    assert sum(one["votes"] for one in last["answers"]) + last["failed"] == len(members)
    lineage = {one["uid"]: one for one in data["lineage"]}
    assert data["lineage"][0]["uid"] == data["candidate"]
    named = {parent for one in data["lineage"] for parent in one["parents"]}
    assert named | {data["candidate"]} == set(lineage)
    text = cli("show", "here", "--problem", "a").out
    assert "How the answer came about" in text
    assert all(uid in text for uid in lineage)


def test_show_a_candidate_and_a_generation(cli: Cli, run: Run_) -> None:
    run("--out", "here")
    one = Run("here").population("b", 1)[2]
    data = cli("show", "here", "--problem", "b", "--candidate", "1.2", "--json").json
    assert data["text"] == one.text
    assert data["parents"] == list(one.parents)
    children = [child.uid for child in Run("here").population("b", 2) if "1.2" in child.parents]
    assert data["children"] == children
    assert one.text in cli("show", "here", "--problem", "b", "--candidate", "1.2").out
    generation = cli("show", "here", "--problem", "b", "--generation", "1", "--json").json
    assert [member["uid"] for member in generation["members"]] == ["1.0", "1.1", "1.2", "1.3"]
    assert cli("show", "here", "--problem", "b", "--generation", "1").code == 0


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--problem", "z"], "'z'"),
        (["--candidate", "1.1"], "choose one with --problem"),
        (["--problem", "a", "--candidate", "9.9"], "9.9"),
        (["--problem", "a", "--candidate", "x"], "GENERATION.SLOT"),
        (["--problem", "a", "--generation", "7"], "0 to 2"),
        (["--problem", "a", "--generation", "1", "--candidate", "1.1"], "already"),
    ],
)
def test_show_says_what_there_is_instead(cli: Cli, run: Run_, flags: list[str], told: str) -> None:
    run("--out", "here")
    outcome = cli("show", "here", *flags)
    assert outcome.code == 2
    assert told in outcome.err


# ---------------------------------------------------------------- plan


def test_plan_bounds_what_the_run_then_costs_and_spends_nothing(cli: Cli, run: Run_, problems: str) -> None:
    flags = ("--problems", problems, "--model", "scripted:die_after=0", "--out", "here")
    planned = cli("plan", *flags, "--json")
    assert planned.code == 0
    assert not Path("here").exists()
    found = run("--json", "--out", "here").json
    assert planned.json["requests"] == sum(row["requests"] for row in found["generations"])
    assert planned.json["prompt_tokens"] >= found["tokens"]["prompt"]
    assert planned.json["completion_tokens"] >= found["tokens"]["completion"]
    assert planned.json["plans_ahead"] is True
    again = cli("plan", *flags)
    assert "36 completions are there" in again.out
    assert "planned ahead" in again.out


def test_plan_says_how_a_run_is_scheduled_and_what_does_not_fit(cli: Cli, problems: str) -> None:
    flags = ("plan", "--problems", problems, "--model", "scripted:context_length=350")
    informed = cli(*flags, "--set", "evaluate=agreement", "--set", "select=best", "--max-tokens", "8")
    assert informed.code == 0
    assert "waits for the population" in informed.out
    assert "fits" in informed.out
    wide = cli(*flags)
    assert wide.code == 2
    assert "DOES NOT FIT" in wide.out
    assert "--max-tokens" in wide.err
    assert cli(*flags, "--json").json["fits"] is False


def test_the_plan_as_toml_is_the_preset_of_the_run(cli: Cli, run: Run_) -> None:
    from evolve_llm.scheme.preset import Preset

    text = cli("plan", "--model", "scripted", "--set", "sampling.temperature=0.3", "--toml").out
    run("--set", "sampling.temperature=0.3", "--out", "here")
    assert Preset.from_toml(text).plain() == Run("here").config["preset"]


# ---------------------------------------------------------------- ask


def test_ask_prints_the_answer_and_the_votes(cli: Cli) -> None:
    outcome = cli("ask", "What is 3 + 4?", "--model", "scripted:answers=7")
    assert outcome.code == 0
    assert outcome.out == "7\n"
    assert "100%" in outcome.err


def test_ask_ends_in_a_majority_vote_unless_told_otherwise(cli: Cli) -> None:
    flags = (
        "ask",
        "-",
        "--model",
        "scripted:answers=7|7|7|8,seed=1",
        "--preset",
        "rsa",
        "--json",
        "--out",
        "here",
    )
    first = cli(*flags, input="What is 3 + 4?\n")
    assert Run("here").config["preset"]["finish"] == {"operator": "majority"}
    assert set(first.json) == {"answer", "votes", "no_answer", "failed", "run", "tokens"}
    assert first.json["votes"][0]["answer"] == first.json["answer"]
    assert sum(one["votes"] for one in first.json["votes"]) == 16
    again = cli(*flags, input="What is 3 + 4?\n")
    assert again.json == first.json
    assert "complete" in again.err
    other = cli("ask", "Why?", "--model", "scripted", "--set", "finish=random", "--out", "random")
    assert other.code == 0
    assert Run("random").config["preset"]["finish"] == {"operator": "random"}


def test_ask_without_an_answer_says_so(cli: Cli) -> None:
    outcome = cli("ask", "Why?", "--model", "scripted:fail=1")
    assert (outcome.code, outcome.out) == (0, "")
    assert "no answer" in outcome.err
    assert cli("ask", "  ", "--model", "scripted").code == 2
    assert "'tags'" in cli("ask", "Why?", "--model", "scripted", "--format", "tag").err


# ---------------------------------------------------------------- list


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("operators", "select.tournament"),
        ("presets", "rsa"),
        ("problems", "reasoning_gym"),
        ("backends", "scripted"),
        ("graders", "exact"),
        ("formats", "boxed"),
    ],
)
def test_list_names_everything_with_a_line_about_it(cli: Cli, kind: str, name: str) -> None:
    found = {one["name"]: one for one in cli("list", kind, "--json").json[kind]}
    assert name in found
    assert all(one["summary"] for one in found.values())
    text = cli("list", kind).out
    assert all(one in text for one in found)


def test_list_tells_parameters_attributes_and_costs(cli: Cli) -> None:
    operators = {one["name"]: one for one in cli("list", "operators", "--json").json["operators"]}
    assert operators["select.tournament"]["parameters"] == {"tournsize": 3}
    assert "needs_fitness" in operators["select.tournament"]["attributes"]
    assert "blind" in operators["select.uniform"]["attributes"]
    assert operators["select.uniform"]["package"] == "evolve-llm"
    presets = {one["name"]: one for one in cli("list", "presets", "--json").json["presets"]}
    assert presets["rsa"]["requests per problem"] == 160
    backends = {one["name"]: one for one in cli("list", "backends", "--json").json["backends"]}
    assert backends["scripted"]["parameters"]["error"] == 0.4


# ---------------------------------------------------------------- doctor


def test_doctor_reports_everything_and_its_exit_code_says_whether_the_default_run_works(cli: Cli) -> None:
    outcome = cli("doctor", "--json")
    assert outcome.code == (0 if outcome.json["ready"] else 2)
    names = [one["name"] for one in outcome.json["checks"]]
    for name in ("Python", "packages", "DEAP", "sandbox", "weights", "run directories", "terminal"):
        assert name in names
    assert "✓" in cli("doctor").out


def test_doctor_never_falls_ill(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every tool it uses broken, it still reports, with an exit code of 2."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("\x1b[31mno such thing\nat all")

    for name in ("find_spec", "_version"):
        monkeypatch.setattr(checks, name, broken)
    for target in (
        "sqlite3.connect",
        "shutil.disk_usage",
        "subprocess.run",
        "evolve_llm.grading.sandbox.available",
    ):
        monkeypatch.setattr(target, broken)
    monkeypatch.setattr("evolve_llm.scheme.registry.available", broken)
    outcome = cli("doctor", "--base-url", "http://127.0.0.1:9/v1")
    assert outcome.code == 2
    assert "no such thing" in outcome.out
    assert "\x1b" not in outcome.out
    assert "cannot work here yet" in outcome.out


def test_doctor_names_the_fix(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda _: None)
    Path("file").write_text("")
    outcome = cli("doctor", "--out", "file/runs", "--base-url", "http://127.0.0.1:9/v1")
    for fix in ('pip install "evolve-llm[local]"', 'pip install "evolve-llm[problems]"', "--out", "/v1"):
        assert fix in outcome.out
    assert outcome.code == 2


def test_a_terminal_sees_one_line_a_generation(problems: str, tmp_path: Path) -> None:
    """On a pseudo-terminal the run shows its progress on standard error, and only there."""
    import os
    import pty

    ours, theirs = pty.openpty()
    process = start(
        "run", "--problems", problems, "--model", "scripted:delay=0.15", "--concurrency", "4",
        "--out", str(tmp_path / "here"), "--json", "--budget-tokens", "100000", stderr_to=theirs,
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:
        pass  # the other side is closed
    os.close(ours)
    assert process.stdout is not None
    assert json.loads(process.stdout.read())["run"]["complete"]
    assert process.wait(timeout=30) == 0
    text = seen.decode()
    for word in ("gen", "running", "failed", "tokens/s", "ETA", "12/12", "done", "in flight", "100,000", "→"):
        assert word in text
