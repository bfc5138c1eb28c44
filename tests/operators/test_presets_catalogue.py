"""Every preset of the catalogue runs, is honest (I3), exact (I1, I2), and costs what it says."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evolve_llm import BackendError, Preset, Problem, Request, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.cli.main import app
from evolve_llm.nouns.request import Completion
from evolve_llm.scheme.preset import builtin_presets
from evolve_llm.scheme.toolbox import build
from evolve_llm.session.estimate import Requests, count_requests
from evolve_llm.testing import Behaviour, Ledger, Reordering, contents, database, run_directory

PRESETS = builtin_presets()
PROBLEMS = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(4 + i)) for i in range(2)]
EXTRA: dict[str, dict[str, Any]] = {
    "steady-state": {"offspring": 2},
    "rsa-islands": {"select.every": 2},
    "rsa-seeded": {"initial": 8},
    "pdr": {"offspring": 2, "parents": 4},
    "pacore": {"offspring": 2, "parents": 4, "finish.parents": 2},
    "map-elites": {"replace.lengths": [10, 14]},
}
every_preset = pytest.mark.parametrize("name", PRESETS)


FAULTY = Behaviour(fail=0.05, truncate=0.1)


def voting(request: Request, behaviour: Behaviour = FAULTY) -> Completion | BaseException:
    """A model that also votes when it is asked for a verdict."""
    made = behaviour(request)
    if "/evaluate/" in request.id and isinstance(made, Completion):
        return replace(
            made, text=behaviour.rng(request).choice(("Verdict: CORRECT", "Verdict: INCORRECT", "?"))
        )
    return made


def small(name: str) -> dict[str, Any]:
    """A preset's shape with few members and generations."""
    shape: dict[str, Any] = {
        "population": 4, "parents": min(2, PRESETS[name].parents), "generations": min(3, PRESETS[name].generations),
        **EXTRA.get(name, {}),
    }  # fmt: skip
    return {
        key: value
        for key, value in shape.items()
        if not (key == "select.every" and shape["generations"] == 1)
    }


def stored(
    name: str, model: Any, problems: list[Problem] = PROBLEMS, **settings: Any
) -> tuple[bytes, dict[str, Any]]:
    with run_directory() as out:
        assert evolve(problems, name, model, out=out, **small(name), **settings).complete
        return database(out), contents(out)


@every_preset
def test_says_what_it_is_and_survives_the_round_trip(name: str) -> None:
    preset = PRESETS[name]
    assert preset.name == name
    assert preset.description
    assert preset.source
    assert Preset.from_toml(preset.to_toml()) == preset


@every_preset
def test_references_swapped_or_removed_change_no_candidate(name: str) -> None:
    """I3: unless the fitness is the checker, which no built-in preset has."""
    assert not build(PRESETS[name]).oracle
    swapped = [replace(one, reference="no such answer") for one in PROBLEMS]
    removed = [replace(one, reference=None) for one in PROBLEMS]
    found = [stored(name, Scripted(voting), problems)[1] for problems in (PROBLEMS, swapped, removed)]
    for table in ("completions", "candidates", "populations"):
        assert found[0][table] == found[1][table] == found[2][table]
        assert found[0][table]
    uids = [[row[:2] for row in one["answers"]] for one in found]
    assert uids[0] == uids[1] == uids[2]
    assert found[0]["verdicts"] != found[1]["verdicts"]


@every_preset
def test_any_concurrency_and_order_store_the_same_bytes(name: str) -> None:
    plain = stored(name, Scripted(voting), concurrency=1)[0]
    assert stored(name, Scripted(voting), concurrency=64)[0] == plain
    assert stored(name, Reordering(voting, order="last", seed=3), concurrency=7)[0] == plain


@every_preset
def test_killed_and_resumed_equals_the_uninterrupted_run(name: str) -> None:
    whole = Ledger(Scripted(voting))
    plain = stored(name, whole)[0]
    for share in (0.2, 0.5, 0.9):
        books = Ledger(
            Scripted(voting),
            die_at=max(2, int(whole.calls * share)),
            error=lambda: BackendError("the model died"),
        )
        with run_directory() as out:
            with pytest.raises(BackendError, match="the model died"):
                evolve(PROBLEMS, name, books, out=out, concurrency=5, **small(name))
            before, kept = Counter(books.asked), {row[:5] for row in contents(out)["completions"]}
            books.die_at = None
            assert evolve(PROBLEMS, name, books, out=out, **small(name)).complete
            assert database(out) == plain
            again = {one for one in books.asked if books.asked[one] > before[one]}
            assert not again & {
                f"p{order}/{generation}/{slot}/{purpose}/{call}"
                for order, generation, slot, purpose, call in kept
            }


def is_last(name: str, address: list[str]) -> bool:
    """Whether a call is that of the finish, which has a slot after those of the last generation."""
    preset = PRESETS[name]
    last, children = preset.generations - 1, preset.offspring or preset.population
    return int(address[1]) == last and int(address[2]) >= (children if last else preset.first)


@every_preset
def test_four_problems_run_in_full_and_cost_what_is_said(name: str) -> None:
    problems = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(4)]
    said = count_requests(build(PRESETS[name]))
    model = Ledger(Scripted(lambda request: voting(request, Behaviour())))
    with run_directory() as out:
        run = evolve(problems, name, model, out=out)
        assert run.complete
        assert all(one.answer is not None for one in run.results())
        purposes = {"evaluate": "evaluation", "finish": "final"}
        by_purpose = Counter(
            "chains"
            if (at := one.split("/"))[3] == "vary" and not is_last(name, at)
            else purposes.get(at[3], "final")
            for one in model.asked
        )
    assert model.calls <= len(problems) * said.total
    if name == "parallel-probe":  # it narrows and stops as the answers have it
        assert by_purpose["chains"] <= len(problems) * said.chains
    else:
        assert by_purpose["chains"] == len(problems) * said.chains
    if name == "map-elites":  # how many elites are asked about again depends on the answers
        assert by_purpose["evaluation"] <= len(problems) * said.evaluation
    else:
        assert by_purpose["evaluation"] == len(problems) * said.evaluation
    assert said.consultations == 0
    assert by_purpose["final"] == len(problems) * said.final


COSTS = {
    "self_verify again": (
        {"evaluate": {"operator": "self_verify", "votes": 3}, "replace": "plus"},
        Requests(chains=12, evaluation=3 * 12 + 3 * 8),
    ),
    "objectives": (
        {"evaluate": {"operator": "objectives", "of": ["length", {"operator": "self_verify", "votes": 2}]}},
        Requests(chains=12, evaluation=24),
    ),
    "debate and a last call": (
        {"vary": "debate", "finish.operator": "final_aggregate", "finish.parents": 2},
        Requests(chains=4 + 24, final=1),
    ),
    "few offspring": (
        {"offspring": 2, "evaluate": "agreement", "replace": "steady_state"},
        Requests(chains=8),
    ),
    "summaries": ({"vary": "summarize_aggregate"}, Requests(chains=12, consultations=8)),
    "mixture": (
        {"vary": [{"operator": "aggregate", "probability": 0.5}, {"operator": "debate", "probability": 0.5}]},
        Requests(chains=28),
    ),
}


@pytest.mark.parametrize(("changes", "said"), COSTS.values(), ids=COSTS)
def test_calls_of_every_kind_are_counted(changes: dict[str, Any], said: Requests) -> None:
    preset = PRESETS["smoke"].override(changes)
    assert count_requests(build(preset)) == said
    model = Ledger(Scripted(lambda request: voting(request, Behaviour())))
    with run_directory() as out:
        evolve(PROBLEMS[:1], preset, model, out=out)
    assert model.calls <= said.total
    if "vary" not in changes or changes["vary"] == "debate":
        assert model.calls == said.total


@every_preset
def test_the_command_line_runs_it(name: str, tmp_path: Path) -> None:
    ended = CliRunner().invoke(
        app,
        [
            "run",
            "--preset",
            name,
            "--model",
            "scripted",
            "--limit",
            "4",
            "--out",
            str(tmp_path / "run"),
            "--json",
        ],
    )
    assert ended.exit_code == 0, ended.output
    assert json.loads(ended.stdout)["run"]["finished"] == 4


def test_the_command_line_lists_each_with_its_source_and_cost() -> None:
    listed = json.loads(CliRunner().invoke(app, ["list", "presets", "--json"]).stdout)["presets"]
    assert {one["name"]: (one["source"], one["requests per problem"]) for one in listed} == {
        name: (preset.source, count_requests(build(preset)).total) for name, preset in PRESETS.items()
    }


DOC = (Path(__file__).parents[2] / "docs" / "presets.md").read_text("utf-8")


@every_preset
def test_the_documentation_tells_the_cost_and_the_size(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \|(.*)\|$", DOC, re.MULTILINE)
    cells = [cell.strip() for cell in row.split("|")]
    preset, said = PRESETS[name], count_requests(build(PRESETS[name]))
    assert cells[1] == f"{preset.population}, {preset.parents}, {preset.generations}"
    assert cells[2].removeprefix("at most ") == str(said.total)
