"""Does the contract suite catch every broken operator, and let every healthy one pass?

    python experiments/contract_mutants/run.py [--out DIR] [--docs docs/testing.md]

Writes ``results.json`` and ``table.md`` (which property caught which mutant); with ``--docs`` the table replaces
the one between the markers in that page.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evolve_llm.scheme import registry
from evolve_llm.testing.checking import Finding, contract_of, findings

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from mutants import MUTANTS, Mutant  # noqa: E402

PARAMETERS: dict[str, dict[str, Any]] = {
    "select.islands": {"count": 2},
    "select.neighbourhood": {"graph": "ring"},
    "select.shared_prefix": {"g": 2, "d": 1},
    "evaluate.objectives": {"of": ["agreement", "length"]},
    "stop.token_budget": {"tokens": 100},
}
"""Parameters of the built-ins that cannot do without."""

CLAIMS = {
    "replace.plus": ["keeps-best"],
    "replace.elitism": ["keeps-best"],
    "replace.steady_state": ["keeps-best"],
    "finish.majority": ["majority"],
}
BEGIN, END = "<!-- mutants: begin -->", "<!-- mutants: end -->"


def examined(mutant: Mutant) -> list[Finding]:
    """What the suite finds about a mutant."""
    _, contract = contract_of(f"mutants:{mutant.name}", mutant.kind, claims=mutant.claims)
    return findings(contract)


def healthy() -> list[str]:
    """The names of all operators that plug in."""
    return sorted(registry.available("operator"))


def examined_healthy(name: str) -> list[Finding]:
    """What the suite finds about a built-in operator, held to all that it claims."""
    _, contract = contract_of(name, parameters=PARAMETERS.get(name), claims=CLAIMS.get(name, ()))
    return findings(contract)


def caught_by(found: Iterable[Finding]) -> list[str]:
    """The properties that are broken."""
    return [one.property for one in found if one.outcome == "broken"]


def table(results: Iterable[dict[str, Any]]) -> str:
    """The Markdown table: kind, fault, properties that caught it."""
    rows = ["| kind | what is wrong with it | caught by |", "|---|---|---|"]
    rows += [
        f"| {one['kind']} | {one['fault']} | {'; '.join(one['caught_by']) or '**nothing**'} |"
        for one in results
    ]
    return "\n".join(rows) + "\n"


def main() -> int:
    """Exit status 1 where a mutant got away or a healthy operator was blamed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--docs", type=Path, help="a page whose table between the markers is replaced")
    given = parser.parse_args()
    started = time.monotonic()
    mutants = []
    for one in MUTANTS:
        found = examined(one)
        mutants.append(
            {**asdict(one), "caught_by": caught_by(found), "findings": [each.plain() for each in found]}
        )
        print(f"{one.kind:9} {one.name:26} {'; '.join(caught_by(found)) or 'NOT CAUGHT'}", flush=True)
    blamed = {name: caught_by(examined_healthy(name)) for name in healthy()}
    for name, properties in blamed.items():
        if properties:
            print(f"healthy   {name:26} BLAMED: {'; '.join(properties)}")
    missed = [one["name"] for one in mutants if not one["caught_by"]]
    wrong = sorted(name for name, properties in blamed.items() if properties)
    print(
        f"{len(mutants) - len(missed)} of {len(mutants)} mutants caught; {len(wrong)} of "
        f"{len(blamed)} healthy operators "
        f"blamed; {time.monotonic() - started:.0f} s"
    )
    given.out.mkdir(parents=True, exist_ok=True)
    results = {"mutants": mutants, "healthy": blamed}
    (given.out / "results.json").write_text(
        json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (given.out / "table.md").write_text(table(mutants), encoding="utf-8")
    if given.docs is not None:
        page = given.docs.read_text("utf-8")
        head, _, rest = page.partition(BEGIN)
        _, _, tail = rest.partition(END)
        given.docs.write_text(f"{head}{BEGIN}\n\n{table(mutants)}\n{END}{tail}", encoding="utf-8")
    return 1 if missed or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
