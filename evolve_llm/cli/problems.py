"""``evolve-llm problems``: what a problem set gives, and grading a file of answers without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolve_llm.cli.console import console, print_json, say
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag
from evolve_llm.cli.text import one_line, printable

if TYPE_CHECKING:
    from evolve_llm.analysis.readings import CountedReading
    from evolve_llm.grading.answer_file import Graded
    from evolve_llm.nouns.problem import Problem

_SHOWN = 50
_MOST_KINDS = 12


@reported
def problems(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="SPEC", help="A problem set or a file, as for run --problems.", show_default=False
        ),
    ],
    *,
    limit: Annotated[int | None, typer.Option(help="Only the first so many.")] = None,
    grade: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Grade this JSONL file: each line a problem's id and an answer, or a text to take one from.",
        ),
    ] = None,
    unsafe_local: Annotated[
        bool, typer.Option("--unsafe-local", help="Grade without a sandbox where none can be had.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """What a problem set gives: how many, how long, what grading needs, and the first question as the model sees it.

    With --grade, verdicts on a file of answers instead; no model is asked for anything.
    """
    from evolve_llm.scheme.problem_sets import load_problems

    found = load_problems(spec, limit=limit)
    if grade is not None:
        _grade(found, grade, unsafe_local=unsafe_local, json=json)
        return
    data = _described(spec, found)
    if json:
        print_json(data)
    else:
        _print(data)


def _described(spec: str, found: Sequence[Problem]) -> dict[str, Any]:
    from evolve_llm.analysis.power import power_statement
    from evolve_llm.backends.tokens import estimate_prompt_tokens
    from evolve_llm.nouns.request import Prompt
    from evolve_llm.scheme import registry

    sample = registry.load("operator", "vary.sample")
    prompts: list[Prompt] = [sample(one.public(), []).showing(one.pictures) for one in found]
    lengths = sorted(estimate_prompt_tokens(prompt) for prompt in prompts)
    graded = sum(one.grader is not None and one.reference is not None for one in found)
    return {
        "spec": spec,
        "power": power_statement(graded) if graded else None,
        "problems": len(found),
        "graded": graded,
        "pictures": sum(len(one.pictures) for one in found),
        "formats": dict(Counter(one.format for one in found)),
        "graders": dict(Counter(one.grader or "none" for one in found)),
        "prompt_tokens": {"least": lengths[0], "median": lengths[len(lengths) // 2], "most": lengths[-1]},
        "kinds": _kinds(found),
        "grading": _needs(found),
        "first": {
            "id": found[0].id,
            "pictures": [str(one) for one in found[0].pictures],
            "messages": [{"role": one.role, "content": one.content} for one in prompts[0].messages],
        },
    }


def _kinds(found: Sequence[Problem]) -> dict[str, dict[str, int]]:
    """What the problems say of themselves, where that sorts them into a few kinds."""
    keys = dict.fromkeys(key for one in found for key in one.metadata)
    counts = {
        key: Counter(one.metadata[key] for one in found if isinstance(one.metadata.get(key), str))
        for key in keys
    }
    return {key: dict(one.most_common()) for key, one in counts.items() if 1 <= len(one) <= 2 * _MOST_KINDS}


def _needs(found: Sequence[Problem]) -> dict[str, str]:
    """For each grader where it runs, and whether that can be had here."""
    from evolve_llm.grading import sandbox
    from evolve_llm.nouns.errors import SandboxUnavailable
    from evolve_llm.scheme import registry

    places: dict[str, set[str]] = {}
    for one in found:
        if one.grader is not None and one.reference is not None:
            place = registry.load("grader", one.grader).isolation(one.reference)
            places.setdefault(one.grader, set()).add(place)
    said = {}
    for name, kinds in places.items():
        said[name] = "a process that is killed at its deadline"
        if "sandbox" in kinds:
            try:
                sandbox.require()
                said[name] = "a sandbox, which can be had here"
            except SandboxUnavailable as error:
                said[name] = f"a sandbox, which cannot be had here: {error}"
    return said


def _print(data: dict[str, Any]) -> None:
    from rich.table import Table

    from evolve_llm.cli.tables import styled

    out, lengths = console(), data["prompt_tokens"]
    if data["power"] is not None:
        out.print(styled(data["power"]), soft_wrap=True)
    ungraded = data["problems"] - data["graded"]
    pairs = {
        "problems": f"{data['problems']:,}" + (f", {ungraded:,} of them not graded" if ungraded else ""),
        **({"pictures": f"{data['pictures']:,}: a model that sees is needed"} if data["pictures"] else {}),
        "formats": _counted(data["formats"]),
        "graders": _counted(data["graders"]),
        "prompts": f"{lengths['least']:,} to {lengths['most']:,} tokens, half of them up to {lengths['median']:,} "
        "(estimated, counted high)",
        **{one_line(key, 30): _counted(kinds) for key, kinds in data["kinds"].items()},
        **{f"grading {name}": f"needs {text}" for name, text in data["grading"].items()},
    }
    table = Table.grid(padding=(0, 2))
    for name, value in pairs.items():
        table.add_row(styled(name, "bold"), styled(printable(value)))
    out.print(table)
    out.print(styled(f"\n{one_line(data['first']['id'], 200)}, as the model sees it", "bold"))
    for picture in data["first"]["pictures"]:
        out.print(styled(f"[{picture}]", "dim"))
    for message in data["first"]["messages"]:
        if len(data["first"]["messages"]) > 1:
            out.print(styled(f"[{message['role']}]", "dim"))
        out.print(styled(printable(message["content"])), soft_wrap=True)


def _counted(counts: dict[str, int]) -> str:
    shown = list(counts.items())[:_MOST_KINDS]
    rest = len(counts) - len(shown)
    return ", ".join(f"{one_line(name, 40)} {count:,}" for name, count in shown) + (
        f", … {rest} more" if rest else ""
    )


# ---------------------------------------------------------------- grading a file


def _grade(found: Sequence[Problem], path: Path, *, unsafe_local: bool, json: bool) -> None:
    from evolve_llm.cli import interrupts
    from evolve_llm.grading.answer_file import grade_file

    try:
        graded = interrupts.run(grade_file(path, found, unsafe_local=unsafe_local))
    except interrupts.InterruptedRunError as interrupted:
        say("interrupted")
        raise typer.Exit(interrupted.exit_code) from None
    if json:
        print_json(_plain(graded, found))
    else:
        _print_graded(graded, found)


def _summary(graded: Sequence[Graded], problems: int) -> dict[str, Any]:
    by_problem: dict[str, list[float]] = {}
    for one in graded:
        if one.verdict.grade != "ungraded":
            by_problem.setdefault(one.problem, []).append(float(one.verdict.correct))
    shares = [sum(values) / len(values) for values in by_problem.values()]
    return {
        "problems": problems,
        "answered": len({one.problem for one in graded}),
        "answers": len(graded),
        **{
            grade: sum(one.verdict.grade == grade for one in graded)
            for grade in ("correct", "incorrect", "ungraded")
        },
        "pass@1": sum(shares) / len(shares) if shares else None,
    }


def _plain(graded: Sequence[Graded], problems: Sequence[Problem]) -> dict[str, Any]:
    return {
        **_summary(graded, len(problems)),
        "readings": [asdict(one) for one in _readings(graded, problems)],
        "verdicts": [
            {
                "id": one.problem,
                "answer": one.answer,
                "verdict": one.verdict.grade.value,
                "rule": one.verdict.rule,
                "score": one.verdict.score,
                "detail": one.verdict.detail,
            }
            for one in graded
        ],
    }


def _readings(graded: Sequence[Graded], problems: Sequence[Problem]) -> tuple[CountedReading, ...]:
    from evolve_llm.analysis.readings import readings

    graders = {one.id: one.grader for one in problems}
    distinct = {(one.problem, one.answer): one.verdict for one in graded}
    return readings((graders.get(problem), verdict) for (problem, _), verdict in distinct.items())


def _print_graded(graded: Sequence[Graded], problems: Sequence[Problem]) -> None:
    from evolve_llm.cli.tables import make_table, print_readings, share, styled, verdict_cell

    out, summary = console(), _summary(graded, len(problems))
    table = make_table([(name, "left") for name in ("problem", "answer", "verdict", "rule", "detail")])
    for one in graded[:_SHOWN]:
        answer = "no answer in the text" if one.answer is None else one_line(one.answer)
        table.add_row(
            styled(one_line(one.problem, 40)),
            styled(answer),
            verdict_cell(one.verdict.grade.value),
            styled(one_line(one.verdict.rule, 24)),
            styled(one_line(one.verdict.detail, 60)),
        )
    out.print(table)
    if len(graded) > _SHOWN:
        out.print(styled(f"… {len(graded) - _SHOWN} more: see --json"))
    out.print(
        styled(
            f"{summary['answers']:,} answers to {summary['answered']:,} of {len(problems):,} problems: "
            f"{summary['correct']:,} correct, {summary['incorrect']:,} incorrect, {summary['ungraded']:,} ungraded; "
            f"pass@1 {share(summary['pass@1'])}, averaged by problem"
        ),
        soft_wrap=True,
    )
    print_readings(out, _readings(graded, problems))
