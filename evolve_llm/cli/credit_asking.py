"""``evolve-llm credit --ask``: what parents are worth, by asking the model again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from evolve_llm.cli.console import console, print_json, say
from evolve_llm.cli.tables import make_table, share, styled
from evolve_llm.cli.text import one_line
from evolve_llm.nouns.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from evolve_llm.analysis.asking import Mean, Section, Worth
    from evolve_llm.session.asking import Answered, Asking, AskingPlan


@dataclass(frozen=True, kw_only=True)
class AskingFlags:
    """What the command line says of asking. None where it says nothing."""

    model: str | None = None
    base_url: list[str] | None = None
    set_: list[str] | None = None
    children: int | None = None
    repeats: int | None = None
    replay: list[str] | None = None
    seed: int | None = None
    prompts: Path | None = None
    cache: Path | None = None
    concurrency: int | None = None
    budget_tokens: int | None = None
    unsafe_local: bool = False
    other_model: bool = False
    plan: bool = False

    def require_none(self) -> None:
        """Raises UserError for a flag that would do nothing because nothing is asked."""
        for one in dataclasses.fields(self):
            if getattr(self, one.name):
                flag = one.name.strip("_").replace("_", "-")
                raise UserError(f"--{flag} is for asking the model; write --ask too, or leave it out")


def ask(runs: Sequence[Path], flags: AskingFlags, *, json: bool) -> None:
    """Draw children, say what asking them costs, ask, and print what their parents were worth."""
    from evolve_llm.cli import interrupts
    from evolve_llm.nouns.errors import BudgetReached

    asking = _asking(runs, flags)
    plan = asking.plan()
    if flags.plan and json:
        print_json({**dataclasses.asdict(plan), "left_out": asking.inexact})
        return
    _say_plan(asking, plan)
    if flags.plan:
        return
    try:
        answered = interrupts.run(asking.carry_out())
    except interrupts.InterruptedRunError as interrupted:
        say(
            f"interrupted ({interrupted}): every reply so far is in {asking.recording}; the same command goes on"
        )
        raise typer.Exit(interrupted.exit_code) from None
    except BudgetReached as reached:
        say(str(reached))
        return
    _say_spent(answered, flags.budget_tokens)
    if json:
        print_json(_plain(asking, answered))
        return
    for section in answered.found.sections:
        _print(console(), section)


def _asking(runs: Sequence[Path], flags: AskingFlags) -> Asking:
    from evolve_llm.analysis.run import Run
    from evolve_llm.cli.settings import read_settings
    from evolve_llm.session.asking import Asking

    if len(runs) != 1:
        raise UserError(f"--ask takes one run, because it asks that run's model; got {len(runs)}")
    if flags.model is None:
        raise UserError(
            f"--ask needs --model, the model of the run (it says {Run(runs[0]).config['model']!r}); it is not taken "
            "from the run, which may be anybody's"
        )
    settings = read_settings(flags.set_ or [])
    if strange := [*settings.preset, *(f"problems.{key}" for key in settings.problems)]:
        raise UserError(f"--set {strange[0]}: the run is as it is; only engine.KEY can be set here")
    engine = dict(settings.engine)
    if flags.base_url:
        if "base_url" in engine:
            raise UserError("--base-url and --set engine.base_url say the same thing; leave one out")
        engine["base_url"] = ",".join(flags.base_url)
    said: dict[str, Any] = {
        "children": flags.children, "repeats": flags.repeats, "replays": flags.replay, "seed": flags.seed,
    }  # fmt: skip
    return Asking(
        runs[0],
        flags.model,
        **{name: value for name, value in said.items() if value is not None},
        engine=engine or None,
        prompts=flags.prompts,
        cache=flags.cache,
        concurrency=flags.concurrency,
        budget_tokens=flags.budget_tokens,
        unsafe_local=flags.unsafe_local,
        other_model=flags.other_model,
    )


def _plain(asking: Asking, answered: Answered) -> dict[str, Any]:
    said = dataclasses.asdict(answered)
    return {
        "run": str(asking.run.path),
        "model": asking.backend.identity,
        "seed": asking.seed,
        "repeats": asking.repeats,
        "replays": list(asking.replays),
        "recording": str(asking.recording),
        "cannot_be_made_again": asking.inexact,
        **{name: said[name] for name in said if name != "found"},
        **answered.found.plain(),
    }


# ------------------------------------------------------------------ standard error


def _say_plan(asking: Asking, plan: AskingPlan) -> None:
    say(
        f"{plan.children:,} children of {plan.problems:,} problems, {plan.replays:,} prompts, each {asking.repeats} "
        f"times: at most {plan.requests:,} requests to {asking.backend.identity}, about {plan.prompt_tokens:,} prompt "
        f"and {plan.completion_tokens:,} completion tokens (at most {plan.most_completion_tokens:,}); replies are kept "
        f"in {asking.recording}"
    )
    if asking.inexact:
        say(
            f"{asking.inexact:,} children that were drawn are left out: their prompts cannot be made again as they "
            "were sent"
        )


def _say_spent(answered: Answered, budget: int | None) -> None:
    said = f"{answered.requests:,} replies ({answered.recorded:,} were recorded before), {answered.tokens:,} tokens"
    failed = f", {answered.failed:,} requests failed" if answered.failed else ""
    say(f"{said}{failed}")
    if answered.found.left_out:
        say(
            f"{answered.found.left_out:,} children are left out: of one of their prompts no chain could be graded"
        )
    if answered.spent:
        say(
            f"the budget of {budget:,} tokens ended it after {answered.found.children + answered.found.left_out:,} of "
            f"{answered.planned:,} children, which are a smaller sample of the same kind; with a larger "
            "--budget-tokens the same command goes on"
        )


# ------------------------------------------------------------------ tables


def _print(out: Console, found: Section) -> None:
    name, k = one_line(found.operator, 60), found.parents
    out.print(styled(f"\nChildren of {k} parents by {name}, asked again", "bold"))
    table = make_table([(one, "right") for one in ("right parents", "in the run", "asked")])
    for right, size, asked in found.strata:
        table.add_row(f"{right} of {k}", f"{size:,}", f"{asked:,}")
    out.print(table)
    if found.as_sent and found.stored and found.again:
        out.print(
            styled(
                f"weighted back to the run: {_told(found.as_sent)} of the chains written again are right, "
                f"{_told(found.stored)} of the stored ones; difference {_signed(found.again)}"
            ),
            soft_wrap=True,
        )
    _print_worths(out, "What is lost without one parent", found.without, "right parents")
    _print_worths(out, "The same by its place in the prompt, mixed groups", found.without_by_place, "place")
    _print_order(out, found)
    _print_worths(out, "What one parent alone adds to the question", found.alone, "right parents")
    _print_worths(out, "What a parent is worth (its Shapley value)", found.values, "right parents")
    _print_worths(out, "The same by its place in the prompt, mixed groups", found.values_by_place, "place")
    _print_ends(out, found)


def _print_worths(out: Console, title: str, rows: Sequence[Worth], key: str) -> None:
    if not rows:
        return
    out.print(styled(f"\n{title}", "bold"))
    table = make_table(
        [(key, "right"), ("a right one", "right"), ("95 %", "right"), ("a wrong one", "right"), ("95 %", "right")]
    )  # fmt: skip
    for one in rows:
        cells = [cell for mean in (one.right, one.wrong) for cell in _signed_cells(mean)]
        table.add_row("the run" if one.key is None else str(one.key), *cells)
    out.print(table)


def _print_order(out: Console, found: Section) -> None:
    if found.places:
        out.print(styled("\nThe only right parent put at each place, the same children throughout", "bold"))
        table = make_table([("place", "right"), ("child right", "right"), ("95 %", "right")])
        for number, mean in enumerate(found.places, 1):
            table.add_row(str(number), share(mean.value), _interval(mean))
        out.print(table)
    if found.moved:
        out.print(styled("\nThe right parents put first, and put last", "bold"))
        names = ("right parents", "first", "last", "last less first", "95 %", "children")
        table = make_table([(name, "right") for name in names])
        for one in found.moved:
            key = "all mixed" if one.right_parents is None else str(one.right_parents)
            table.add_row(
                key, share(one.first.value), share(one.last.value), *_signed_cells(one.difference),
                f"{one.difference.children:,}",
            )  # fmt: skip
        out.print(table)


def _print_ends(out: Console, found: Section) -> None:
    if found.nobody is not None and found.shared is not None and found.as_sent is not None:
        out.print(
            styled(
                f"with all parents {_told(found.as_sent)}, with none {_told(found.nobody)}; the Shapley values of a "
                f"child sum to {_signed(found.shared)}"
            ),
            soft_wrap=True,
        )


def _told(mean: Mean) -> str:
    return share(mean.value) + (f" ({_interval(mean)})" if mean.interval else "")


def _signed(mean: Mean) -> str:
    value, interval = _signed_cells(mean)
    return value + (f" (95 % {interval})" if mean.interval else "")


def _signed_cells(mean: Mean | None) -> tuple[str, str]:
    if mean is None:
        return "-", "-"
    ends = "-" if mean.interval is None else f"{mean.interval[0]:+.3f} to {mean.interval[1]:+.3f}"
    return f"{mean.value:+.3f}", ends


def _interval(mean: Mean) -> str:
    return "-" if mean.interval is None else f"{mean.interval[0]:.2f}–{mean.interval[1]:.2f}"
