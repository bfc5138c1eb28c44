"""``evolve-llm ask``: one question, with nothing to grade it by."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolve_llm.cli.console import console, print_json, say
from evolve_llm.cli.evolving import carry_out
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import EvolutionFlags, JsonFlag, takes_evolution_flags
from evolve_llm.cli.text import one_line, printable
from evolve_llm.nouns.errors import UserError

if TYPE_CHECKING:
    from evolve_llm.analysis.run import Run
    from evolve_llm.nouns.problem import Problem


@takes_evolution_flags
@reported
def ask(
    flags: EvolutionFlags,
    question: Annotated[str, typer.Argument(help="The question, or - to read it from standard input.")],
    *,
    format: Annotated[
        str,
        typer.Option(help="How the answer is to be written. `evolve-llm list formats` shows the choices."),
    ] = "tags",
    json: JsonFlag = False,
) -> None:
    """Ask one question. The answer goes to standard output, and the votes go to standard error.

    A preset that ends in a random choice ends in a majority vote here.
    """
    from evolve_llm.cli.settings import session_for

    text = sys.stdin.read() if question == "-" else question
    run = carry_out(session_for(flags, [_problem(text, format)], None, finish="majority"))
    result = _result(run)
    if json:
        print_json(result)
    elif result["answer"] is not None:
        typer.echo(printable(result["answer"]))
    _say_votes(result)


def _problem(question: str, format: str) -> Problem:
    """The same id for the same question, so that asking again finds the run."""
    import hashlib

    from evolve_llm.nouns.problem import Problem
    from evolve_llm.scheme import registry

    text = question.strip()
    if not text:
        raise UserError("the question is empty")
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise UserError("the question is not valid Unicode") from error
    if format not in registry.available("answer format"):
        raise UserError(registry.unknown("answer format", format, registry.available("answer format")))
    return Problem(f"ask/{hashlib.sha256(data).hexdigest()[:12]}", text, format)


def _result(run: Run) -> dict[str, Any]:
    """The answer with its votes in the last finished generation."""
    from collections import Counter

    plain = run.plain()
    _, populations = next(run.populations(texts=False))
    members = populations[-1].members if populations else ()
    classes = Counter(one.answer_class for one in members if one.answer_class is not None)
    spelling = {one.answer_class: one.answer for one in reversed(members)}
    return {
        "answer": plain["problems"][0]["answer"],
        "votes": [{"answer": spelling[name], "votes": votes} for name, votes in classes.most_common()],
        "no_answer": sum(one.answer is None and not one.failed for one in members),
        "failed": sum(one.failed for one in members),
        "run": plain["run"],
        "tokens": plain["tokens"],
    }


def _say_votes(result: dict[str, Any]) -> None:
    from evolve_llm.cli.tables import make_table, styled

    total = sum(one["votes"] for one in result["votes"]) + result["no_answer"] + result["failed"]
    table = make_table([("votes", "right"), ("share", "right"), ("answer", "left")])
    for one in result["votes"]:
        table.add_row(str(one["votes"]), f"{one['votes'] / total:.0%}", styled(one_line(one["answer"])))
    for count, what in ((result["no_answer"], "no answer in the chain"), (result["failed"], "failed")):
        if count:
            table.add_row(str(count), f"{count / total:.0%}", styled(what, "dim"))
    if total:
        console(stderr=True).print(table)
    if result["answer"] is None:
        say("there is no answer: " + ("nothing is finished yet" if not total else "no chain has one"))
