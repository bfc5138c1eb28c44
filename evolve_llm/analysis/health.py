"""How a population fares as a population: its diversity, and what selection does to it.

Pure functions. Each says where it comes from; None always means that there is nothing to measure, never 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.record.store import StoredPopulation


@dataclass(frozen=True, slots=True)
class PopulationHealth:
    """One generation of one problem; the functions of this module say what each number is.

    ``winner_share`` is None until the problem has ended, the numbers about parents in generation 0.
    ``minority``: whether the generation before held right answers in the minority. ``lost``: they are gone now.
    """

    entropy: float | None
    winner_share: float | None
    effective_parents: float | None
    repeated_parents: float | None
    selection_intensity: float | None
    minority: bool
    lost: bool


def population_health(
    populations: Sequence[StoredPopulation], born: Sequence[Candidate], *, ended: bool
) -> list[PopulationHealth]:
    """Health of each finished generation of one problem, oldest first.

    ``born`` is everyone born in them, survivors or not: parents are counted over all children, so that
    what replacement did afterwards is kept apart. ``ended``: the last population is final.
    """
    children: dict[int, list[Candidate]] = {}
    for one in born:
        if not is_concluding(one):
            children.setdefault(one.generation, []).append(one)
    winner = winning_class(populations[-1].members) if ended and populations else None
    found = []
    before: StoredPopulation | None = None
    for now in populations:
        bred = children.get(now.generation, ())
        minority = before is not None and holds_right_minority(before.members, before.verdicts)
        found.append(
            PopulationHealth(
                entropy=answer_entropy(now.members),
                winner_share=None if winner is None else class_share(now.members, winner),
                effective_parents=effective_parents(bred),
                repeated_parents=repeated_parents(bred),
                selection_intensity=None if before is None else selection_intensity(bred, before),
                minority=minority,
                lost=minority and right_share(now.members, now.verdicts) == 0.0,
            )
        )
        before = now
    return found


def is_concluding(one: Candidate) -> bool:
    """Whether this is the one last chain of a finish operator: only that has parents in its own generation."""
    return any(uid.partition(".")[0] == str(one.generation) for uid in one.parents)


def answer_entropy(members: Sequence[Candidate]) -> float | None:
    """Shannon entropy (1948) in bits of the answer classes, over the members that have an answer.

    0 when all agree, log2 N when all differ; None where nobody has an answer.
    """
    votes = _votes(members)
    total = votes.total()
    if not total:
        return None
    return max(0.0, -math.fsum(n / total * math.log2(n / total) for n in votes.values()))


def winning_class(members: Sequence[Candidate]) -> str | None:
    """The answer class with the most votes, None in a tie: then nobody has won."""
    top = _votes(members).most_common(2)
    if not top or (len(top) == 2 and top[0][1] == top[1][1]):
        return None
    return top[0][0]


def class_share(members: Sequence[Candidate], name: str) -> float | None:
    """Share of the members that did not fail whose answer is of this class; None where all failed."""
    live = [one for one in members if not one.failed]
    return sum(one.answer_class == name for one in live) / len(live) if live else None


def takeover_time(populations: Sequence[Sequence[Candidate]], share: float = 1.0) -> int | None:
    """The first generation in which the class that wins in the last one holds at least ``share``.

    After Goldberg and Deb (1991, Foundations of Genetic Algorithms 1), whose takeover is by the best individual
    and of everyone; here children are new texts, so a class may also lose ground again. ``populations`` are the
    members of generations 0, 1, … of a problem that has ended. None where nobody won, or the winner never held
    so much.
    """
    winner = winning_class(populations[-1]) if populations else None
    if winner is None:
        return None
    for generation, members in enumerate(populations):
        held = class_share(members, winner)
        if held is not None and held >= share - 1e-12:
            return generation
    return None


def effective_parents(children: Sequence[Candidate]) -> float | None:
    """1/Σp², p being each parent's share in all parent places of these children.

    The inverse Simpson index, Hill's number of order 2 (1973, Ecology 54): n parents used equally count as n, whoever
    is used more counts for less. Independent uniform choice of K of N gives about NK/(K + 1 - K/N), a
    balanced design exactly N. None where no child has parents.
    """
    uses = Counter(uid for one in children for uid in one.parents)
    total = uses.total()
    return total**2 / sum(n**2 for n in uses.values()) if total else None


def repeated_parents(children: Sequence[Candidate]) -> float | None:
    """Share of the children with two parents or more that name one of them twice: 0 under distinct selection.

    Most of DEAP's selectors draw with replacement. None where no child has two parents.
    """
    groups = [one.parents for one in children if len(one.parents) > 1]
    return sum(len(set(group)) < len(group) for group in groups) / len(groups) if groups else None


def selection_intensity(children: Sequence[Candidate], before: StoredPopulation) -> float | None:
    """Realised selection intensity: how far the parents used lie above their population, in standard deviations.

    (mean fitness of the parents used - mean of the population) / standard deviation of the population, after
    Mühlenbein and Schlierkamp-Voosen (1993, Evolutionary Computation 1): near 0 when fitness played no part, about
    0.85 for a tournament of 3 on normal fitness. Parents count as often as they were used; fitness is the first
    objective as it was when they were chosen, more being better. None without fitness, or where all members
    have the same.
    """
    scale = {one.uid: one.fitness.weights[0] for one in before.members}
    fitness = {uid: values[0] * scale[uid] for uid, values in before.fitness.items() if uid in scale}
    used = [fitness[uid] for one in children for uid in one.parents if uid in fitness]
    if len(fitness) < 2 or not used:
        return None
    mean = math.fsum(fitness.values()) / len(fitness)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in fitness.values()) / len(fitness))
    return (math.fsum(used) / len(used) - mean) / spread if spread > 1e-12 else None


def right_share(members: Sequence[Candidate], verdicts: Mapping[str, Verdict]) -> float | None:
    """Share of the graded members that are correct; None where none is graded."""
    grades = [verdicts[one.uid].grade for one in members if not one.failed and one.uid in verdicts]
    graded = [grade for grade in grades if grade is not Grade.UNGRADED]
    return sum(grade is Grade.CORRECT for grade in graded) / len(graded) if graded else None


def holds_right_minority(members: Sequence[Candidate], verdicts: Mapping[str, Verdict]) -> bool:
    """Whether some, but at most half, of the graded members are correct: what a vote may lose and drift destroys."""
    share = right_share(members, verdicts)
    return share is not None and 0.0 < share <= 0.5


def _votes(members: Sequence[Candidate]) -> Counter[str]:
    return Counter(one.answer_class for one in members if not one.failed and one.answer_class is not None)
