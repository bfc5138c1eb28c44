"""A preset becomes a DEAP toolbox: what does not fit is found before the first token."""

# ruff: noqa: ARG001, ARG005

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from deap import base, tools

from evolve_llm import Candidate, Preset, Problem, Prompt, UserError, evolve, load_preset, variation
from evolve_llm.backends.scripted import Scripted
from evolve_llm.scheme import registry
from evolve_llm.scheme.decorators import selection
from evolve_llm.scheme.toolbox import build, resolve
from evolve_llm.testing import Behaviour, Ledger, run_directory

PROBLEMS = [Problem("p", "What is 2 + 2?", "boxed", "exact", "4")]


def refused(said: str, **changes: Any) -> None:
    """The preset is refused with these words, and no model is asked."""
    books = Ledger(Scripted(Behaviour()))
    with run_directory() as out:
        with pytest.raises(UserError, match=said):
            evolve(PROBLEMS, "smoke", books, out=out, **changes)
        assert not out.exists()
    assert books.calls == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"select": "uniforn"},
            "unknown select operator 'uniforn'. Did you mean 'uniform'.*or module:function",
        ),
        ({"vary": "nothing"}, "unknown vary operator 'nothing'.*Available: aggregate"),
        ({"select": "no.such.module:f"}, "operator 'no.such.module:f' cannot be imported: No module named"),
        ({"select": "math:no_such"}, "operator 'math:no_such' cannot be imported: .*no_such"),
        ({"select": ":f"}, "operator ':f' cannot be imported"),
        ({"select": "math:pi"}, "operator 'math:pi' is a float, not a function"),
        ({"select": "builtins:max"}, "builtins:max cannot be an operator"),
        (
            {"select": {"operator": "uniform", "size": 2}},
            r"\[select\] .*uniform has no parameter 'size'; it takes: none",
        ),
        (
            {"select": "tournament"},
            r"\[select\] .*tournament needs a fitness, .* has no \[evaluate\].*evaluate=agreement",
        ),
        ({"finish": "best"}, r"\[finish\] .*best needs a fitness"),
        ({"select": "identity"}, r"gives 1 parent\(s\), but 'mate' takes 2; set parents = 1"),
        ({"init": "refine"}, r"\[init\] must sample from scratch"),
        (
            {"evaluate": "checker", "select": "best", "problems": [Problem("q", "why?")]},
            r"'q' has no reference or no grader",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_is_found_before_the_first_token(changes: dict[str, Any], said: str) -> None:
    if "problems" in changes:
        settings = {key: value for key, value in changes.items() if key != "problems"}
        with pytest.raises(UserError, match=said):
            evolve(changes["problems"], "smoke", Scripted(Behaviour()), **settings)
    else:
        refused(said, **changes)


def test_a_required_parameter_that_is_missing_is_named() -> None:
    @selection(blind=False)
    def sized(individuals: list[Any], k: int, *, size: int) -> list[Any]:
        return individuals[:k]

    refused(r"needs the parameter\(s\) size", select=sized)
    with run_directory() as out:
        assert evolve(
            PROBLEMS, "smoke", Scripted(Behaviour()), out=out, select={"operator": sized, "size": 1}
        ).complete


def test_a_module_of_the_users_own_that_breaks_on_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_operators.py").write_text("def f(:\n")
    (tmp_path / "my_operators.py").write_text("from deap.tools import selRandom as pick\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    refused("operator 'broken_operators:f' cannot be imported: .*syntax", select="broken_operators:f")
    assert resolve("select", "my_operators:pick") is tools.selRandom


@variation(arity=6)
def committee(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    return Prompt.user("".join(one.text for one in parents))


def test_an_operator_that_takes_more_parents_than_there_are() -> None:
    refused("an operator takes 6 parents, but the population has only 4 members", vary=committee)


def test_aliases_are_those_of_deap() -> None:
    preset = load_preset("smoke").override(
        {"vary": [{"operator": "aggregate", "probability": 0.4}, {"operator": "refine", "probability": 0.3},
                  {"operator": "sample", "probability": 0.1}], "evaluate": "agreement"}
    )  # fmt: skip
    scheme = build(preset)
    assert isinstance(scheme.toolbox, base.Toolbox)
    assert [(one.alias, one.arity) for one in scheme.choices] == [
        ("mate", 2), ("mutate", 1), ("init", 0), ("reproduce", 1)
    ]  # fmt: skip
    assert sum(one.probability for one in scheme.choices) == pytest.approx(1.0)
    for alias in ("init", "select", "mate", "mutate", "reproduce", "evaluate", "replace", "finish", "clone"):
        assert callable(getattr(scheme.toolbox, alias))


def test_reproduction_copies_its_parent_without_asking_the_model() -> None:
    books = Ledger(Scripted(Behaviour()))
    with run_directory() as out:
        run = evolve(
            PROBLEMS,
            "smoke",
            books,
            out=out,
            vary={"operator": "refine", "probability": 0.001},
            generations=4,
        )
        members = [run.population("p", index) for index in range(4)]
    before = {one.uid: one for one in members[2]}
    for one in (one for one in members[3] if one.copied):
        parent = before[one.parents[0]]
        assert (one.text, one.answer, one.operator) == (parent.text, parent.answer, "reproduce")
        assert (one.prompt_tokens, one.completion_tokens) == (0, 0)
    copied = {f"p/{index}/{one.slot}/vary/0" for index in range(4) for one in members[index] if one.copied}
    assert len(copied) >= 10
    assert not copied & set(books.asked)
    assert books.calls == 16 - len(copied)


def test_a_stock_deap_operator_can_take_any_seat() -> None:
    """DEAP's own registration, on the toolbox itself; the run says so."""

    def customize(toolbox: base.Toolbox) -> None:
        toolbox.register("select", tools.selTournament, tournsize=2)

    with run_directory() as out:
        run = evolve(
            PROBLEMS, "smoke", Scripted(Behaviour()), out=out, evaluate="length", customize=customize
        )
        assert run.complete
        assert run.config["operators"]["select"] == "deap.tools.selection:selTournament(tournsize=2)"
        for child in run.population("p", 1):
            assert len(set(child.parents)) == 2


def test_customizing_is_checked_like_the_preset() -> None:
    refused(
        r"\[select\] deap.tools.selection:selBest needs a fitness",
        customize=lambda toolbox: toolbox.register("select", tools.selBest),
    )


@selection(blind=True)
def eldest(individuals: Sequence[Any], k: int) -> list[Any]:
    return list(individuals[:k])


def test_an_operator_given_as_an_object_or_by_its_path_is_the_same_run() -> None:
    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, select=eldest)
        preset = load_preset("smoke").override({"select": f"{eldest.__module__}:eldest"})
        run = evolve(PROBLEMS, preset, Scripted(Behaviour()), out=out)
        assert {one.parents for one in run.population("p")} == {("1.0", "1.1")}
        assert Preset.from_plain(run.config["preset"]) == preset


# ---------------------------------------------------------------- the registry


def test_unknown_plug_ins_are_told_with_those_that_exist() -> None:
    with pytest.raises(UserError, match=r"unknown backend 'scriptd'. Did you mean 'scripted'\?.*Available: "):
        registry.load("backend", "scriptd")
    assert registry.unknown("thing", "x", []) == "unknown thing 'x'. Available: (none)"


@pytest.fixture
def plug_ins(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stand-ins for installed packages' entry points."""

    def install(*points: tuple[str, str]) -> None:
        found = [EntryPoint(name, value, "evolve_llm.graders") for name, value in points]
        monkeypatch.setattr(registry, "entry_points", lambda group: found)
        registry.available.cache_clear()
        registry.load.cache_clear()

    yield install
    monkeypatch.undo()
    registry.available.cache_clear()
    registry.load.cache_clear()


def test_a_plug_in_that_cannot_be_imported(
    plug_ins: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exploding_plugin.py").write_text("raise RuntimeError('at import')")
    monkeypatch.syspath_prepend(str(tmp_path))
    plug_ins(("gone", "no_such_package:x"), ("empty", "math:no_such"), ("bad", "exploding_plugin:x"))
    with pytest.raises(UserError, match=r"the grader 'gone' \(no_such_package:x\) cannot be imported"):
        registry.load("grader", "gone")
    with pytest.raises(UserError, match="the grader 'empty' names math:no_such, which does not exist"):
        registry.load("grader", "empty")
    with pytest.raises(UserError, match=r"the grader 'bad' .* cannot be imported: at import"):
        registry.load("grader", "bad")
