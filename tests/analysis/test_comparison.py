"""Comparing runs: what may be compared, what is found out about it, and what is said."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from making import run_of, sums
from typer.testing import CliRunner

from evolve_llm import Problem, Run, UserError, evolve
from evolve_llm.analysis.compare import Comparison, ComparisonRow, Contrast, compare
from evolve_llm.backends.scripted import Scripted
from evolve_llm.cli.main import app


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Three schemes on the same problems and seed, and one of them again with another seed."""
    folder = tmp_path_factory.mktemp("compared")
    return {
        "rsa": run_of(folder / "rsa", problems=12),
        "rsa-1": run_of(folder / "rsa-1", problems=12, seed=1),
        "refine": run_of(folder / "refine", "self-refinement", problems=12),
        "refine-1": run_of(folder / "refine-1", "self-refinement", problems=12, seed=1),
        "vote": run_of(folder / "vote", "majority-voting", problems=12, population=20, generations=1),
    }


def row(contrast: Contrast, metric: str, moment: str, generation: int | None = None) -> ComparisonRow:
    (found,) = (
        one
        for one in contrast.rows
        if (one.metric, one.moment) == (metric, moment)
        and (generation is None or (one.generations or (None,))[0] == generation)
    )
    return found


def test_runs_that_share_seed_and_model_share_generation_0_exactly(runs: dict[str, Run]) -> None:
    (contrast,) = compare([runs["rsa"], runs["refine"]]).contrasts
    for metric in ("pass@1", "majority"):
        first = row(contrast, metric, "generation", 0).estimate
        assert first is not None
        assert (first.difference, first.interval, first.p, first.needed) == (0.0, None, 1.0, None)
    assert contrast.notes == ("generation 0 is the same in both, so its difference is exactly 0",)


def test_the_numbers_are_those_of_the_runs(runs: dict[str, Run]) -> None:
    comparison = compare([runs["rsa"], runs["refine"], runs["vote"]])
    for contrast, name in zip(comparison.contrasts, ("refine", "vote"), strict=True):
        a, b = runs["rsa"].plain(), runs[name].plain()
        for metric in ("pass@1", "majority"):
            end = row(contrast, metric, "end")
            assert end.generations == (3, len(b["generations"]) - 1)
            assert end.estimate is not None
            assert end.estimate.baseline == pytest.approx(a["generations"][-1][metric])
            assert end.estimate.value == pytest.approx(b["generations"][-1][metric])
            assert end.estimate.difference == pytest.approx(end.estimate.value - end.estimate.baseline)
            assert end.tokens == tuple(
                sum(one["tokens"][key] for key in ("prompt", "completion")) for one in (a, b)
            )
        answer = row(contrast, "answer", "end").estimate
        assert answer is not None
        assert answer.baseline == pytest.approx(a["run"]["accuracy"])
        assert answer.value == pytest.approx(b["run"]["accuracy"])


def test_comparing_the_other_way_round_turns_the_signs(runs: dict[str, Run]) -> None:
    (there,), (back,) = (
        compare([runs[a], runs[b]]).contrasts for a, b in (("rsa", "refine"), ("refine", "rsa"))
    )
    for one, other in zip(there.rows, back.rows, strict=True):
        assert one.estimate is not None
        assert other.estimate is not None
        assert one.estimate.difference == -other.estimate.difference
        assert one.estimate.p == other.estimate.p
        assert one.estimate.needed == other.estimate.needed


def test_equal_tokens_are_what_the_cheaper_run_spent_in_all(runs: dict[str, Run]) -> None:
    (contrast,) = compare([runs["rsa"], runs["vote"]]).contrasts
    equal = row(contrast, "pass@1", "equal tokens")
    assert equal.generations is not None
    assert equal.tokens is not None
    assert equal.generations[1] == 0
    assert equal.generations[0] < 3
    budget = equal.tokens[1] * 1.01
    assert equal.tokens[0] <= budget
    after = row(contrast, "pass@1", "end").tokens
    assert after is not None
    assert after[0] > budget
    by_completion = compare([runs["rsa"], runs["vote"]], tokens="completion").contrasts[0]
    found = row(by_completion, "pass@1", "equal tokens")
    assert found.generations is not None
    assert found.generations[0] > equal.generations[0]  # most of an aggregation's tokens are its prompt


def test_a_first_generation_dearer_than_all_of_the_other_run_is_said(tmp_path: Path) -> None:
    small = run_of(tmp_path / "small", population=2, parents=2, generations=2)
    large = run_of(tmp_path / "large", "majority-voting", population=60, generations=1)
    (contrast,) = compare([small, large]).contrasts
    equal = row(contrast, "majority", "equal tokens")
    assert equal.estimate is None
    assert "majority-voting costs more" in equal.why
    assert "as far as the smaller one goes: 2 candidates" in contrast.notes[0]


def test_several_seeds_of_a_scheme_are_one_series(runs: dict[str, Run]) -> None:
    series = compare([[runs["rsa-1"], runs["rsa"]], [runs["refine"], runs["refine-1"]]])
    assert series.seeds == (0, 1)
    singles = [compare([runs["rsa"], runs["refine"]]), compare([runs["rsa-1"], runs["refine-1"]])]
    found = row(series.contrasts[0], "pass@1", "end").estimate
    each = [row(one.contrasts[0], "pass@1", "end").estimate for one in singles]
    assert found is not None
    assert found.difference == pytest.approx(sum(one.difference for one in each if one) / 2)
    assert found.spread < max(one.spread for one in each if one)
    first = row(series.contrasts[0], "pass@1", "generation", 0).estimate
    assert first is not None
    assert first.difference == 0


def test_holm_corrects_for_the_number_of_runs(runs: dict[str, Run]) -> None:
    one = compare([runs["rsa"], runs["refine"]]).contrasts[0]
    assert all(each.estimate.p == each.estimate.p_holm for each in one.rows if each.estimate)
    two = compare([runs["rsa"], runs["refine"], runs["vote"]])
    ends = [row(each, "pass@1", "end").estimate for each in two.contrasts]
    p_values = sorted(each.p for each in ends if each)
    adjusted = sorted(each.p_holm for each in ends if each)
    assert adjusted[0] == pytest.approx(min(1.0, 2 * p_values[0]))


def test_what_differs_is_listed(runs: dict[str, Run]) -> None:
    (contrast,) = compare([runs["rsa"], runs["refine"]]).contrasts
    assert "select uniform → identity" in contrast.changed
    assert not [
        one for one in contrast.changed if one.startswith(("name", "description", "source", "sampling"))
    ]


def test_a_real_difference_is_found_and_no_difference_is_not(tmp_path: Path) -> None:
    def model(error: float, identity: str) -> Scripted:
        problems = {one.question: one.reference for one in sums(30)}

        def respond(request):  # type: ignore[no-untyped-def]
            text = "\n".join(one.content for one in request.prompt.messages)
            right = next(answer for question, answer in problems.items() if question in text)
            wrong = request.seed / 2**63 < error
            return f"\\boxed{{{int(right) + 1 if wrong else right}}}"

        return Scripted(respond, identity=identity)

    settings = {"problems": 30, "population": 4, "generations": 2, "parents": 2}
    good, bad, other = (
        run_of(tmp_path / name, model=model(error, name), seed=seed, **settings)
        for name, error, seed in (("good", 0.2, 0), ("bad", 0.6, 0), ("other", 0.2, 1))
    )
    flags = {"allow_different_models": True, "allow_different_seeds": True}
    found = row(compare([good, bad], **flags).contrasts[0], "pass@1", "end").estimate  # type: ignore[arg-type]
    assert found is not None
    assert found.interval is not None
    assert found.interval[1] < 0
    assert found.p < 0.01
    none = row(compare([good, other], **flags).contrasts[0], "pass@1", "end").estimate  # type: ignore[arg-type]
    assert none is not None
    assert none.interval is not None
    assert none.interval[0] < 0 < none.interval[1]
    assert none.p > 0.05


def test_identical_runs_are_told_apart_by_nothing(tmp_path: Path) -> None:
    one, other = (run_of(tmp_path / name) for name in ("one", "other"))
    comparison = compare([one, other])
    assert (comparison.baseline, comparison.contrasts[0].label) == ("one", "other")
    assert comparison.contrasts[0].changed == ()
    assert all(each.estimate and each.estimate.p == 1 for each in comparison.contrasts[0].rows)
    assert "fewer than 20 problems" in comparison.notes[-1]


def test_it_is_said_where_hardly_a_problem_differs_however_many_there_are(tmp_path: Path) -> None:
    """Three runs of 24 problems: one like the baseline but for a few wrong answers, one that is wrong in all."""
    kept = {"problems": 24, "model": "scripted:error=0", "generations": 1}
    good = run_of(tmp_path / "good", **kept)
    slips = run_of(tmp_path / "slips", **{**kept, "model": "scripted:error=0.05"})
    wrong = run_of(tmp_path / "wrong", **{**kept, "model": "scripted:error=1"})
    flags = {"allow_different_models": True}
    comparison = compare([good, slips, wrong], **flags)  # type: ignore[arg-type]
    ends = [row(one, "pass@1", "end").estimate for one in comparison.contrasts]
    assert ends[0] is not None
    assert ends[1] is not None
    assert 0 < ends[0].differ < 10 < ends[1].differ == 24
    assert comparison.notes == (
        f"in pass@1 at the end fewer than 10 problems differ at all between good and slips ({ends[0].differ} of 24): "
        "what counts is how many problems differ, not how many there are, see docs/compare.md",
    )
    assert compare([good, wrong], **flags).notes == ()  # type: ignore[arg-type]


def test_an_oracle_is_marked(tmp_path: Path) -> None:
    plain = run_of(tmp_path / "plain")
    oracle = run_of(tmp_path / "oracle", evaluate="checker", select="tournament", name="best")
    comparison = compare([plain, oracle])
    assert (comparison.oracle, comparison.contrasts[0].oracle) == (False, True)
    printed = CliRunner().invoke(app, ["compare", str(plain.path), str(oracle.path)])
    assert "ORACLE: the fitness of best" in printed.stdout


def test_a_problem_that_ended_early_keeps_its_last_population(tmp_path: Path) -> None:
    full = run_of(tmp_path / "full")
    short = run_of(tmp_path / "short", stop=["consensus"])
    (contrast,) = compare([full, short]).contrasts
    assert all(each.estimate and each.estimate.problems == 6 for each in contrast.rows)
    end = row(contrast, "pass@1", "end")
    assert end.tokens is not None
    assert end.tokens[1] <= end.tokens[0]


# ---------------------------------------------------------------- what is refused


def test_other_problems_are_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    fewer = run_of(tmp_path / "fewer", problems=10)
    with pytest.raises(UserError, match="2 problems are only in one of them: 'sum10', 'sum11'"):
        compare([runs["rsa"], fewer])


def test_other_references_are_refused_with_the_way_out(runs: dict[str, Run], tmp_path: Path) -> None:
    items = [Problem(one.id, one.question, "boxed", "exact", "0") for one in sums(12)]
    other = evolve(items, "rsa", "scripted:error=0.7", population=4, generations=2, out=tmp_path / "other")
    with pytest.raises(UserError, match=r"12 problems differ in their reference: .*regrade"):
        compare([runs["rsa"], other])


def test_models_and_seeds_must_be_the_same_unless_it_is_meant(runs: dict[str, Run], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"different seeds: 0 and 1.*--allow-different-seeds"):
        compare([runs["rsa"], runs["refine-1"]])
    allowed = compare([runs["rsa"], runs["refine-1"]], allow_different_seeds=True)
    assert "the seeds differ" in allowed.contrasts[0].notes[0]
    model = run_of(tmp_path / "model", problems=12, model="scripted:error=0.1")
    with pytest.raises(UserError, match=r"different models: .*--allow-different-models"):
        compare([runs["rsa"], model])
    assert (
        "models being different"
        in compare([runs["rsa"], model], allow_different_models=True).contrasts[0].notes[0]
    )


def test_unfinished_runs_are_refused_unless_partial(runs: dict[str, Run], tmp_path: Path) -> None:
    unfinished = run_of(tmp_path / "unfinished", problems=12, budget_tokens=12_000, concurrency=1)
    done = sum(one.finished for one in unfinished.results())
    assert 0 < done < 12
    with pytest.raises(UserError, match=f"unfinished: {done} of 12 problems.*--partial"):
        compare([runs["rsa"], unfinished])
    comparison = compare([runs["rsa"], unfinished], partial=True)
    assert comparison.problems == done
    assert comparison.notes[0].startswith(f"partial: only the {done} of 12")
    for each in comparison.contrasts[0].rows:
        assert each.estimate is not None
        assert each.estimate.difference == 0  # it is the same run, as far as it went


def test_nothing_graded_is_refused(tmp_path: Path) -> None:
    items = [Problem("a", "What is 1 + 1?", "boxed"), Problem("b", "What is 1 + 2?", "boxed")]
    pair = [
        evolve(items, preset, "scripted", population=4, generations=2, out=tmp_path / preset)
        for preset in ("rsa", "self-refinement")
    ]
    with pytest.raises(UserError, match="nothing in these runs is graded"):
        compare(pair)


def test_what_is_no_comparison_is_refused(runs: dict[str, Run]) -> None:
    for given, reason in (
        ([runs["rsa"]], "at least two runs"),
        ([], "at least two runs"),
        ([runs["rsa"], []], "at least two runs"),
        ([runs["rsa"], Run(runs["rsa"].path)], "given twice"),
        ([[runs["rsa"], runs["refine"]], runs["vote"]], "differ in more than the seed: in preset"),
    ):
        with pytest.raises(UserError, match=reason):
            compare(given)
    with pytest.raises(UserError, match="between 0 and 1"):
        compare([runs["rsa"], runs["refine"]], target=0)


# ---------------------------------------------------------------- the command line


def invoke(*arguments: object, columns: int = 160) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": str(columns)})
    return found.exit_code, found.stdout, found.stderr


def test_the_command_prints_the_table(runs: dict[str, Run]) -> None:
    code, out, _ = invoke(runs["rsa"].path, runs["refine"].path, runs["vote"].path)
    assert code == 0
    assert "baseline rsa: 12 problems, seed 0" in out
    assert "self-refinement against rsa" in out
    assert "p (Holm)" in out
    assert "problems for 2 points" in out
    assert "generation 0 is the same in both" in out


def test_the_table_fits_a_terminal_of_80_columns(runs: dict[str, Run]) -> None:
    code, out, _ = invoke(runs["rsa"].path, runs["refine"].path, runs["vote"].path, columns=80)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "gen 3" in out
    assert "…" not in out.replace("self-re…", "").replace("majorit…", "")


def test_the_command_gives_the_same_as_json(runs: dict[str, Run]) -> None:
    code, out, _ = invoke("--json", runs["rsa"].path, runs["refine"].path, "--target", "0.05")
    assert code == 0
    expected: Comparison = compare([runs["rsa"], runs["refine"]], target=0.05)
    assert json.loads(out) == json.loads(expected.to_json())
    assert not any(isinstance(one, float) and not math.isfinite(one) for one in _leaves(json.loads(out)))


def test_the_command_takes_series(runs: dict[str, Run]) -> None:
    groups = [
        ",".join(str(runs[one].path) for one in pair) for pair in (("rsa", "rsa-1"), ("refine", "refine-1"))
    ]
    code, out, _ = invoke(*groups)
    assert code == 0
    assert "seeds 0, 1" in out


def test_a_path_with_a_comma_is_a_path(tmp_path: Path) -> None:
    paths = [run_of(tmp_path / name, problems=2).path for name in ("a,b", "c")]
    assert invoke(*paths)[0] == 0


@pytest.mark.parametrize("arguments", [["rsa"], ["nowhere", "nowhere"]])
def test_the_command_refuses_with_a_reason(runs: dict[str, Run], arguments: list[str]) -> None:
    given = [runs[one].path if one in runs else one for one in arguments]
    code, out, err = invoke(*given)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")


def _leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in _leaves(one)]
    if isinstance(value, list):
        return [leaf for one in value for leaf in _leaves(one)]
    return [value]
