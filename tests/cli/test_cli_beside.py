"""``run --beside PRESET``: the same calls spent otherwise, measured and compared in the same command."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import Cli, Outcome

from evolve_llm.analysis.compare import compare
from evolve_llm.analysis.run import Run
from evolve_llm.cli.beside import VOTE, chosen
from evolve_llm.cli.options import RunFlags
from evolve_llm.cli.settings import run_session, with_defaults
from evolve_llm.record.store import Store

Run_ = Callable[..., Outcome]
BESIDE = ("--beside", VOTE)


def config(path: str) -> Any:
    return Run(path).config


def test_it_spends_the_same_calls_on_the_same_problems_with_the_same_sampling(run: Run_) -> None:
    flags = ("--population", "6", "--parents", "2", "--generations", "3", "--max-tokens", "50", "--seed", "4",
             "--set", "sampling.temperature=0.5", "--set", "engine.answers=4|5", "--out", "here")  # fmt: skip
    outcome = run(*flags, *BESIDE, "--json")
    assert outcome.code == 0, outcome.err
    ours, other = config("here"), config(f"here-{VOTE}")
    assert other["preset"]["population"] == 18
    assert other["preset"]["generations"] == 1
    assert other["preset"]["finish"] == {"operator": "majority"}
    for key in ("problems", "seed", "model"):
        assert other[key] == ours[key]
    assert other["preset"]["sampling"] == ours["preset"]["sampling"]
    with Store.open_to_read(Path("here")) as one, Store.open_to_read(Path(f"here-{VOTE}")) as two:
        assert [sum(row[2] for row in store.tokens()) for store in (one, two)] == [54, 54]


def test_the_difference_is_that_of_compare(run: Run_) -> None:
    found = run("--out", "here", *BESIDE, "--json").json["beside"]
    (contrast,) = compare([Run(f"here-{VOTE}"), Run("here")]).contrasts
    (expected,) = [row.estimate for row in contrast.rows if row.metric == "answer"]
    assert expected is not None
    assert found["difference"] == expected.difference == pytest.approx(found["answers"] - found["beside"])
    assert tuple(found["interval"]) == expected.interval
    assert found["p"] == expected.p
    assert found["calls"] == 12
    assert found["tokens_beside"] < found["tokens"]  # aggregation reads more


def test_it_is_printed_in_two_lines_after_the_answers(run: Run_) -> None:
    outcome = run("--out", "here", *BESIDE)
    *_, first, second = outcome.out.splitlines()
    assert first.startswith(f"12 calls per problem, right answers: {VOTE} ")
    assert second.startswith("difference ")
    assert "3 problems" in second
    assert outcome.err.count("run directory: ") == 2


def test_the_same_command_shows_both_again_and_asks_nothing(run: Run_) -> None:
    first = run("--out", "here", *BESIDE, "--json")
    again = run("--out", "here", *BESIDE, "--json", model="scripted:die_after=0")
    assert again.out == first.out
    assert again.err.count("complete, nothing is left to do: 36 completions") == 2


def test_an_unfinished_run_gets_nothing_beside_it_and_a_budget_holds_for_both(run: Run_) -> None:
    stopped = run("--out", "here", *BESIDE, "--budget-tokens", "1500", "--json")
    assert stopped.code == 0
    assert stopped.json["beside"] is None
    assert f"{VOTE} starts once this run is finished" in stopped.err
    assert not Path(f"here-{VOTE}").exists()
    spent = run("--out", "here", "--json").json["tokens"]
    total = spent["prompt"] + spent["completion"]
    nothing = run("--out", "here", *BESIDE, "--budget-tokens", str(total), "--json")
    assert nothing.json["beside"] is None
    assert f"the token budget leaves no tokens for {VOTE}" in nothing.err
    some = run("--out", "here", *BESIDE, "--budget-tokens", str(total + 300), "--json", "--concurrency", "2")
    assert some.json["beside"] is None
    with Store.open_to_read(Path(f"here-{VOTE}")) as store:
        assert 0 < sum(row[3] + row[4] for row in store.tokens()) < 600


def test_without_references_there_is_nothing_to_compare(cli: Cli) -> None:
    Path("open.jsonl").write_text('{"question": "Why?"}\n')
    outcome = cli("run", "--model", "scripted", "--problems", "open.jsonl", "--out", "here", *BESIDE)
    assert outcome.code == 0
    assert "without references" in outcome.err
    assert not Path(f"here-{VOTE}").exists()


@pytest.mark.parametrize("preset", ["rsa", "best-of-n"])
def test_a_preset_that_cannot_spend_the_same_calls_is_refused_before_anything_is_run(
    run: Run_, preset: str
) -> None:
    outcome = run("--out", "here", "--beside", preset)
    assert outcome.code == 2
    assert "evolve-llm compare RUN RUN" in outcome.err
    assert not Path("here").exists()
    assert run("--beside", "nonsense").code == 2


def test_only_the_default_run_has_it_unasked() -> None:
    bare = RunFlags()
    assert chosen(bare, None) == VOTE
    assert chosen(bare, "none") is None
    for given in ({"model": "fly"}, {"problems": "locks"}, {"preset": "fly"}):
        assert chosen(replace(bare, **given), None) is None  # type: ignore[arg-type]
    full = with_defaults(bare)
    assert (full.model, full.problems, full.limit) == ("fly", "locks", 12)


def test_what_a_problem_set_warns_of_is_said_once(cli: Cli) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        outcome = cli("run", "--model", "scripted:answers=1|2", "--problems", "locks?locks=6&size=2", "--out", "here",
                      "--generations", "1", *BESIDE)  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("warning: ") == 1
    assert "\nwarning: " in "\n" + outcome.err
    assert "locks, not of 6" in outcome.err
    assert ".py" not in outcome.err


def test_other_warnings_go_their_way() -> None:
    from evolve_llm.cli.settings import warnings_said

    with pytest.warns(DeprecationWarning, match="old"), warnings_said():
        warnings.warn("old", DeprecationWarning, stacklevel=1)


def test_a_directory_without_a_name_of_its_own_gets_a_neighbour(tmp_path: Path) -> None:
    from evolve_llm.cli.beside import _flags

    flags = RunFlags(model="scripted", problems="locks?size=2", out=Path())
    out = _flags(flags, VOTE, run_session(flags), 4, None).out
    assert out == tmp_path.with_name(f"{tmp_path.name}-{VOTE}")
