"""``--beside PRESET``: the other way to spend the same calls, run on the same problems and compared with the run."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evolve_llm.cli.console import say
from evolve_llm.cli.evolving import carry_out
from evolve_llm.cli.options import RunFlags
from evolve_llm.cli.settings import is_bare, run_session, with_defaults
from evolve_llm.cli.tables import styled
from evolve_llm.cli.text import one_line
from evolve_llm.nouns.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from evolve_llm.analysis.run import Run
    from evolve_llm.session.session import Session

VOTE = "majority-voting"
"""What runs beside the default run: the opponent that RSA has to beat."""

NONE = "none"


def chosen(flags: RunFlags, beside: str | None) -> str | None:
    """The preset to run beside, None for none. Raises UserError where it could not spend the same calls."""
    from evolve_llm.scheme.preset import load_preset

    if beside is None:
        return VOTE if is_bare(flags) else None
    if beside == NONE:
        return None
    preset = load_preset(beside)
    if preset.generations > 1 or preset.evaluate is not None:
        raise UserError(
            f"--beside {beside}: only a preset with one generation and without [evaluate], such as {VOTE}, "
            f"can be given the calls of another run. Run {beside} by itself, and then compare: evolve-llm "
            "compare RUN RUN"
        )
    return beside


def carry_out_beside(flags: RunFlags, preset: str, session: Session, run: Run) -> dict[str, Any] | None:
    """Run it with the calls a problem that ``run`` has taken, and say how the answers of the two differ.

    None, with the reason on standard error, where either is unfinished or nothing is graded.
    """
    from evolve_llm.analysis.compare import compare

    result = run.plain()
    problems = len(result["problems"])
    calls = -(-sum(row["requests"] for row in result["generations"]) // problems)
    if not result["run"]["complete"]:
        say(f"{preset} starts once this run is finished; the same command resumes it")
        return None
    if result["run"]["accuracy"] is None:
        say(f"{preset} is not run beside this run: without references there is no accuracy to compare")
        return None
    budget = flags.budget_tokens
    if budget is not None:
        budget -= result["tokens"]["prompt"] + result["tokens"]["completion"]
        if budget < 1:
            say(f"the token budget leaves no tokens for {preset}")
            return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were said of the same problems before
        rival = run_session(_flags(flags, preset, session, calls, budget))
    say(f"\nbeside it: {preset}, with {calls} calls per problem as in the run itself")
    other = carry_out(rival)
    if not other.complete:
        return None
    (contrast,) = compare([other, run]).contrasts
    found = next((row for row in contrast.rows if row.metric == "answer"), None)
    if found is None or found.estimate is None or found.tokens is None:
        say(f"{preset} and the run cannot be compared: {found.why if found else 'no answers'}")
        return None
    one = found.estimate
    return {
        "preset": preset,
        "path": str(other.path),
        "calls": calls,
        "problems": one.problems,
        "answers": one.value,
        "beside": one.baseline,
        "difference": one.difference,
        "interval": one.interval,
        "p": one.p,
        "tokens": found.tokens[1],
        "tokens_beside": found.tokens[0],
    }


def _flags(flags: RunFlags, preset: str, session: Session, calls: int, budget: int | None) -> RunFlags:
    """The flags of the other run: the same problems, model, seed and sampling, its own scheme and directory."""
    sampling = session.config["preset"]["sampling"]
    path = session.path if session.path.name not in ("", "..") else session.path.resolve()
    kept = [one for one in flags.set_ or [] if one.strip().startswith(("engine.", "problems."))]
    spelled = [
        f"sampling.{name}={json.dumps(value)}" for name, value in sampling.items() if value is not None
    ]
    return replace(
        with_defaults(flags),
        preset=preset,
        population=calls,
        parents=None,
        generations=None,
        max_tokens=None,
        set_=[*kept, *spelled],
        out=path.with_name(f"{path.name}-{preset.replace('/', '-')}"),
        budget_tokens=budget,
    )


def print_beside(out: Console, found: Mapping[str, Any]) -> None:
    """Print the comparison as two lines."""
    interval = found["interval"]
    spread = (
        "the same on every problem" if interval is None else f"95 % {interval[0]:+.2f} to {interval[1]:+.2f}"
    )
    name = one_line(found["preset"], 60)
    out.print(
        styled(
            f"\n{found['calls']} calls per problem, right answers: {name} {found['beside']:.3f}, this run "
            f"{found['answers']:.3f}",
            "bold",
        )
    )
    out.print(
        styled(
            f"difference {found['difference']:+.3f} ({spread}, p {found['p']:.3f}, {found['problems']} problems), at "
            f"{found['tokens_beside']:,} and {found['tokens']:,} tokens"
        )
    )
