"""A whole run for ``show``: its settings, its table, the health of its populations, its answers."""

from __future__ import annotations

from typing import Any

from evolve_llm.analysis.run import Run
from evolve_llm.cli.console import console
from evolve_llm.cli.health_table import print_health
from evolve_llm.cli.tables import SHOWN_ANSWERS, print_answers, print_generations, styled
from evolve_llm.cli.text import one_line

__all__ = ["SHOWN_ANSWERS", "print_run"]


def print_run(run: Run, shown: int | None) -> None:
    """Print settings, generations, health and answers; ``shown`` answers, None for all."""
    from rich.table import Table

    out = console()
    table = Table.grid(padding=(0, 2))
    for name, value in settings_of(run).items():
        table.add_row(styled(name, "bold"), styled(one_line(value, 400)))
    out.print(table)
    result = run.plain()
    print_generations(out, result)
    print_health(out, result)
    print_answers(out, result, shown)


def settings_of(run: Run) -> dict[str, str]:
    """What a run was, in words, by name."""
    preset, environment = run.config["preset"], run.environment
    sampling = ", ".join(f"{key}={value}" for key, value in preset["sampling"].items() if value != [])
    operators = ", ".join(
        f"{key} {_operator(preset[key])}"
        for key in ("init", "select", "evaluate", "replace", "finish")
        if key in preset
    )
    versions, revision = environment.get("versions", {}), environment.get("git")
    return {
        "run": str(run.path),
        "begun": f"{environment.get('created')}, Python {environment.get('python')}, "
        f"evolve-llm {versions.get('evolve-llm')}" + (f", git {revision}" if revision else ""),
        "preset": f"{preset['name']}: N={preset['population']}, K={preset['parents']}, T={preset['generations']}",
        "operators": f"{operators}, vary {' + '.join(_operator(one) for one in preset['vary'])}",
        "sampling": sampling,
        "model": str(run.config["model"]),
        "problems": f"{run.config['problems']['count']} of {environment.get('problems') or 'a Python list'}",
        "seed": f"{run.config['seed']}"
        + (
            ", not sent to the engine: a repeated run gives other texts"
            if environment.get("model", {}).get("seeds") == "none"
            else ""
        ),
    }


def _operator(spec: dict[str, Any]) -> str:
    given = ", ".join(f"{key}={value}" for key, value in spec.items() if key != "operator")
    return f"{spec['operator']}({given})" if given else str(spec["operator"])
