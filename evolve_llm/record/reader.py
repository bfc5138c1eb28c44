"""Reading a run's database: what was stored, as the nouns it was made of."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolve_llm.nouns.address import Address
from evolve_llm.nouns.candidate import Candidate, Fitness, fitness_class
from evolve_llm.nouns.outcome import Recalled
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.thinking import Chain, apart
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.record.columns import CANDIDATE, COMPLETION, StoredRow, read_candidate, read_outcome
from evolve_llm.record.run_files import store_error


@dataclass(frozen=True, slots=True)
class StoredPopulation:
    """One finished generation of one problem as stored.

    ``fitness`` (values by uid) is as it was in this generation: a survivor's may have changed since.
    """

    generation: int
    members: tuple[Candidate, ...]
    verdicts: Mapping[str, Verdict]
    fitness: Mapping[str, Sequence[float]] = field(default_factory=dict)


class StoreReader:
    """The questions that a run directory answers. ``Store`` also writes."""

    path: Path
    _db: sqlite3.Connection

    def _rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error

    def _named(self, table: str, names: Sequence[str], place: int) -> list[StoredRow]:
        """The rows of one problem by the names of their columns, in the order of their key."""
        rows = self._rows(
            f"SELECT {', '.join(names)} FROM {table} WHERE ord = ? ORDER BY generation, slot", place
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def problems(self) -> list[Problem]:
        """All problems of the run, in order."""
        return [
            Problem(**json.loads(body)) for (body,) in self._rows("SELECT body FROM problems ORDER BY ord")
        ]

    def count_problems(self) -> int:
        """How many problems the run has."""
        return int(self._rows("SELECT count(*) FROM problems")[0][0])

    def recall(self, place: int) -> dict[Address, Recalled]:
        """Every outcome an earlier session stored for a problem."""
        rows = self._named("completions", COMPLETION, place)
        return {
            Address(*(row[name] for name in Address._fields)): Recalled(row["prompt"], read_outcome(row))
            for row in rows
        }

    def finished(self) -> set[int]:
        """The places of the problems that have their answer."""
        return {place for (place,) in self._rows("SELECT ord FROM answers")}

    def begun(self) -> set[int]:
        """Problems (by place) of which a completion is stored."""
        return {place for (place,) in self._rows("SELECT DISTINCT ord FROM completions")}

    def answers(self) -> dict[int, tuple[str | None, str | None]]:
        """The answer of each finished problem: (uid of the answering candidate, answer as written)."""
        return {
            place: (uid, answer) for place, uid, answer in self._rows("SELECT ord, uid, answer FROM answers")
        }

    def candidates(self, place: int, *, texts: bool = False) -> list[Candidate]:
        """Everyone born in the finished generations of a problem, in order of birth, survivors or not.

        ``texts``: with the chains themselves.
        """
        chains = self._chains(place) if texts else {}
        (identity,) = self._rows("SELECT id FROM problems WHERE ord = ?", place)[0]
        kind = Fitness
        fitness: dict[str, list[float]] = {}
        query = (
            "SELECT fitness, weights FROM populations WHERE ord = ? AND fitness != '{}' ORDER BY generation"
        )
        for values, weights in self._rows(query, place):
            fitness |= json.loads(values)
            kind = fitness_class(json.loads(weights))
        found = []
        for row in self._named("candidates", CANDIDATE, place):
            one = read_candidate(identity, row, *chains.get((row["generation"], row["slot"]), ()))
            if one.uid in fitness:
                one.fitness = kind()
                one.fitness.assign(fitness[one.uid])
            found.append(one)
        return found

    def _chains(self, place: int) -> dict[tuple[int, int], Chain]:
        """Thinking and text of every candidate: a copy's own, else of the last call that wrote it."""
        found = {}
        query = (
            "SELECT generation, slot, text, reasoning FROM completions WHERE ord = ? AND purpose = 'vary'"
            " ORDER BY generation, slot, call"
        )
        for generation, slot, text, thinking in self._rows(query, place):
            found[generation, slot] = apart(thinking or "", text or "")
        query = "SELECT generation, slot, copied, copied_reasoning FROM candidates WHERE ord = ? AND copied IS NOT NULL"
        for generation, slot, text, thinking in self._rows(query, place):
            found[generation, slot] = Chain(thinking or "", text)
        return found

    def populations(self, place: int, *, texts: bool = False) -> list[StoredPopulation]:
        """The finished generations of a problem, oldest first. ``texts``: with the chains themselves."""
        born = {one.uid: one for one in self.candidates(place, texts=texts)}
        verdicts = self.verdicts(place)
        found = []
        query = "SELECT generation, members, fitness FROM populations WHERE ord = ? ORDER BY generation"
        for generation, listed, fitness in self._rows(query, place):
            members = tuple(born[uid] for uid in json.loads(listed))
            graded = {
                one.uid: verdicts[one.answer] for one in members if not one.failed and one.answer in verdicts
            }
            found.append(StoredPopulation(generation, members, graded, json.loads(fitness)))
        return found

    def verdicts(self, place: int) -> dict[str | None, Verdict]:
        """Verdicts of a problem by answer; None is the chain without an answer."""
        rows = self._rows("SELECT answer, grade, rule, score, detail FROM verdicts WHERE ord = ?", place)
        return {
            answer or None: Verdict(Grade(grade), rule, score, detail)
            for answer, grade, rule, score, detail in rows
        }

    def read_verdicts(self) -> Iterator[tuple[int, Verdict]]:
        """(the problem's place, verdict) of every distinct answer whose rule names its readings."""
        query = (
            "SELECT ord, grade, rule, score, detail FROM verdicts WHERE rule LIKE '%=%' ORDER BY ord, answer"
        )
        for place, grade, rule, score, detail in self._rows(query):
            yield place, Verdict(Grade(grade), rule, score, detail)

    def tokens(self) -> list[tuple[int, str, int, int, int, int]]:
        """(generation, purpose, requests, prompt, completion, cached tokens) summed over problems."""
        return [
            (row[0], row[1], row[2], row[3], row[4], row[5])
            for row in self._rows(
                "SELECT generation, purpose, count(*), sum(prompt_tokens), sum(completion_tokens),"
                " sum(cached_tokens) FROM completions GROUP BY generation, purpose ORDER BY generation, purpose"
            )
        ]

    def spending(self) -> list[tuple[int, int, int, int]]:
        """(the problem's place, generation, prompt tokens, completion tokens) of everything stored."""
        return [
            (row[0], row[1], row[2], row[3])
            for row in self._rows(
                "SELECT ord, generation, sum(prompt_tokens), sum(completion_tokens) FROM completions"
                " GROUP BY ord, generation ORDER BY ord, generation"
            )
        ]

    def requests(self) -> list[tuple[int, int, int]]:
        """(the problem's place, generation, requests) of everything stored."""
        query = "SELECT ord, generation, count(*) FROM completions GROUP BY ord, generation ORDER BY ord, generation"
        return [(row[0], row[1], row[2]) for row in self._rows(query)]

    def spent(self) -> int:
        """The prompt and completion tokens of everything stored, added up."""
        ((total,),) = self._rows(
            "SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) FROM completions"
        )
        return int(total)
