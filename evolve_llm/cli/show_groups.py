"""The results of a run by discipline, task or whatever its problems say of themselves, for ``show --by``."""

from __future__ import annotations

from dataclasses import asdict

from evolve_llm.analysis.groups import group_by, mean_of_groups
from evolve_llm.analysis.power import power_statement
from evolve_llm.analysis.run import Run
from evolve_llm.cli.console import console, print_json
from evolve_llm.cli.tables import make_table, print_readings, share, styled
from evolve_llm.cli.text import one_line

SHOWN = 40


def show_groups(run: Run, key: str, shown: int | None, *, json: bool) -> None:
    """Print the groups, ``shown`` of them, None for all; what so many problems can tell apart comes first."""
    groups = group_by(run, key)
    count = sum(one.problems for one in groups)
    statement, average = power_statement(count), mean_of_groups(groups)
    if json:
        print_json(
            {
                "by": key,
                "power": statement,
                "groups": [one.plain() for one in groups],
                "mean_of_groups": average,
                "attempts": run.attempts,
                "readings": [asdict(one) for one in run.readings()],
            }
        )
        return
    out = console()
    out.print(styled(statement), soft_wrap=True)
    table = make_table(
        [(key, "left"), ("problems", "right"), ("accuracy", "right"), ("pass@1", "right"), ("95 %", "right")]
    )
    for one in groups[:shown]:
        interval = "-" if one.interval is None else f"{one.interval[0]:.2f}–{one.interval[1]:.2f}"
        name = styled(one_line(one.name, 40))
        table.add_row(name, str(one.problems), share(one.accuracy), share(one.pass_1), interval)
    out.print(table)
    if shown is not None and len(groups) > shown:
        out.print(styled(f"… {len(groups) - shown} more: --all"))
    handed_in = "" if run.attempts == 1 else f" ({run.attempts} attempts a problem)"
    out.print(styled(f"mean over the {len(groups)} groups, each counted alike: {share(average)}{handed_in}"))
    print_readings(out, run.readings())
