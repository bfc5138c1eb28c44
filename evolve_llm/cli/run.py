"""``evolve-llm run``: evolve a problem set."""

from __future__ import annotations

from evolve_llm.cli.console import console, print_json
from evolve_llm.cli.evolving import carry_out, say_losses
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag, RunFlags, takes_run_flags


@takes_run_flags
@reported
def run(flags: RunFlags, *, json: JsonFlag = False) -> None:
    """Evolve a population of reasoning chains for each problem; the same command resumes.

    Without flags: the embedded model, the preset smoke, four sums.
    """
    from evolve_llm.cli.settings import run_session
    from evolve_llm.cli.tables import print_results

    finished = carry_out(run_session(flags))
    result = finished.plain()
    if json:
        print_json(result)
    else:
        print_results(console(), result)
    say_losses(finished)
