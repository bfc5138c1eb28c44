"""Runs and comparisons as pandas data frames. pandas is imported when one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evolve_llm.nouns.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from evolve_llm.analysis.compare import Comparison
    from evolve_llm.analysis.run import Run


def candidates_frame(run: Run, *, texts: bool = False) -> pd.DataFrame:
    """A row for every member of every finished population; a survivor has a row in each.

    Columns: problem, population, uid, generation, slot, operator, parents (tuple of uids), status, answer,
    answer_class, verdict, rule, score, prompt_tokens, completion_tokens, cached_tokens, fitness (tuple or None), and
    with ``texts`` also text.
    """
    rows: list[dict[str, Any]] = []
    for problem, populations in run.populations(texts=texts):
        for stored in populations:
            for one in stored.members:
                verdict = stored.verdicts.get(one.uid)
                rows.append(
                    {
                        "problem": problem.id,
                        "population": stored.generation,
                        "uid": one.uid,
                        "generation": one.generation,
                        "slot": one.slot,
                        "operator": one.operator,
                        "parents": one.parents,
                        "status": one.status.value,
                        "answer": one.answer,
                        "answer_class": one.answer_class,
                        "verdict": None if verdict is None else verdict.grade.value,
                        "rule": None if verdict is None else verdict.rule,
                        "score": None if verdict is None else verdict.score,
                        "prompt_tokens": one.prompt_tokens,
                        "completion_tokens": one.completion_tokens,
                        "cached_tokens": one.cached_tokens,
                        "fitness": one.fitness.values if one.fitness.valid else None,
                        **({"text": one.text} if texts else {}),
                    }
                )
    return _frame(rows)


def comparison_frame(comparison: Comparison) -> pd.DataFrame:
    """A row for each contrast, metric and moment, with the difference, its interval and its p-values.

    Columns: baseline, run, metric, moment, baseline_value, value, difference, low, high, p, p_holm, problems, needed,
    why (where there is no estimate).
    """
    rows: list[dict[str, Any]] = []
    for contrast in comparison.contrasts:
        for row in contrast.rows:
            found = row.estimate
            interval = (None, None) if found is None or found.interval is None else found.interval
            rows.append(
                {
                    "baseline": comparison.baseline,
                    "run": contrast.label,
                    "metric": row.metric,
                    "moment": row.moment,
                    "baseline_value": None if found is None else found.baseline,
                    "value": None if found is None else found.value,
                    "difference": None if found is None else found.difference,
                    "low": interval[0],
                    "high": interval[1],
                    "p": None if found is None else found.p,
                    "p_holm": None if found is None else found.p_holm,
                    "problems": None if found is None else found.problems,
                    "needed": None if found is None else found.needed,
                    "why": row.why,
                }
            )
    return _frame(rows)


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    try:
        import pandas
    except ImportError as error:
        raise UserError('a data frame needs pandas; pip install "evolve-llm[frames]"') from error
    return pandas.DataFrame(rows)
