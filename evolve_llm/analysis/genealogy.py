"""DEAP's History, filled from a run: the individuals by number, and the numbers of each one's parents."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from deap import tools

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.record.store import Store

if TYPE_CHECKING:
    from evolve_llm.analysis.run import Run


@dataclass(slots=True, eq=False)
class Descendant(Candidate):
    """A candidate with its number in a ``History``, which is where ``getGenealogy`` looks for it."""

    history_index: int = 0


def genealogy(run: Run, problem: str) -> tools.History:
    """Everyone born for a problem of a run, survivors or not, as DEAP's ``History`` would have recorded it.

    ``genealogy_history`` holds candidates, with their texts, by their number: 1, 2, … in order of birth.
    ``genealogy_tree`` holds, by number, the numbers of the parents whose chains stood in the prompt, in the prompt's
    order; none for a candidate sampled from scratch. ``getGenealogy(history.genealogy_history[9])`` works.

    Raises UserError where the run has no such problem.
    """
    with Store.open_to_read(run.path) as store:
        ids = [one.id for one in store.problems()]
        if problem not in ids:
            raise UserError(f"no problem {problem!r} in {run.path}; it has {', '.join(ids[:10])}")
        born = store.candidates(ids.index(problem), texts=True)
    history = tools.History()
    numbers = {one.uid: number for number, one in enumerate(born, 1)}
    for one in born:
        values = {field.name: getattr(one, field.name) for field in fields(one)}
        number = numbers[one.uid]
        history.genealogy_history[number] = Descendant(**values, history_index=number)
        history.genealogy_tree[number] = tuple(numbers[uid] for uid in one.parents)
    history.genealogy_index = len(born)
    return history
