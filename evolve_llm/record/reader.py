"""Reading a run's database: what was stored, as the nouns it was made of."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolve_llm.nouns.address import Address, Failure, Recalled
from evolve_llm.nouns.candidate import Candidate, Fitness, Status, fitness_class
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion, FinishReason
from evolve_llm.nouns.thinking import Parts, apart
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.record.run_files import columns, store_error


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

    def problems(self) -> list[Problem]:
        """All problems of the run, in order."""
        return [
            Problem(**json.loads(body)) for (body,) in self._rows("SELECT body FROM problems ORDER BY ord")
        ]

    def count_problems(self) -> int:
        """How many problems the run has."""
        return int(self._rows("SELECT count(*) FROM problems")[0][0])

    def recall(self, order: int) -> dict[Address, Recalled]:
        """Every outcome an earlier session stored for a problem."""
        rows = self._rows(
            "SELECT generation, slot, purpose, call, prompt, error, detail, text, finish_reason, prompt_tokens,"
            " completion_tokens, cached_tokens, reasoning, logprobs, first_token FROM completions WHERE ord = ?",
            order,
        )
        found = {}
        for generation, slot, purpose, call, prompt, error, detail, *answer in rows:
            outcome = Failure(error, detail or "") if error is not None else _completion(*answer)
            found[Address(generation, slot, purpose, call)] = Recalled(prompt, outcome)
        return found

    def finished(self) -> set[int]:
        """The places (``order``) of the problems that have their answer."""
        return {order for (order,) in self._rows("SELECT ord FROM answers")}

    def answers(self) -> dict[int, tuple[str | None, str | None]]:
        """The answer of each finished problem: (uid of the answering candidate, answer as written)."""
        return {
            order: (uid, answer) for order, uid, answer in self._rows("SELECT ord, uid, answer FROM answers")
        }

    def candidates(self, order: int, *, texts: bool = False) -> list[Candidate]:
        """Everyone born in the finished generations of a problem, in order of birth, survivors or not.

        ``texts``: with the chains themselves.
        """
        cut, left_out = ("cut", "left_out") if self._has("left_out") else ("'[]'", "'[]'")
        rows = self._rows(
            "SELECT generation, slot, operator, parents, dropped, status, reason, answer, answer_class,"
            f" prompt_tokens, completion_tokens, cached_tokens, copied IS NOT NULL, {cut}, {left_out}"
            " FROM candidates WHERE ord = ? ORDER BY generation, slot",
            order,
        )
        chains = self._chains(order) if texts else {}
        (identity,) = self._rows("SELECT id FROM problems WHERE ord = ?", order)[0]
        kind = Fitness
        fitness: dict[str, list[float]] = {}
        query = (
            "SELECT fitness, weights FROM populations WHERE ord = ? AND fitness != '{}' ORDER BY generation"
        )
        for values, weights in self._rows(query, order):
            fitness |= json.loads(values)
            kind = fitness_class(json.loads(weights))
        found = []
        for (
            generation,
            slot,
            operator,
            parents,
            dropped,
            status,
            reason,
            answer,
            klass,
            asked,
            written,
            cached,
            copied,
            cut,
            left_out,
        ) in rows:
            thinking, text = chains.get((generation, slot), ("", ""))
            one = Candidate(
                problem=identity,
                generation=generation,
                slot=slot,
                operator=operator,
                text=text,
                answer=answer,
                answer_class=klass,
                parents=tuple(json.loads(parents)),
                dropped=tuple(json.loads(dropped)),
                status=Status(status),
                reason=reason,
                prompt_tokens=asked,
                completion_tokens=written,
                cached_tokens=cached,
                copied=bool(copied),
                reasoning=thinking,
                cut=tuple(json.loads(cut)),
                left_out=tuple(json.loads(left_out)),
            )
            if one.uid in fitness:
                one.fitness = kind()
                one.fitness.assign(fitness[one.uid])
            found.append(one)
        return found

    def _chains(self, order: int) -> dict[tuple[int, int], Parts]:
        """Thinking and text of every candidate: a copy's own, else of the last call that wrote it."""
        found = {}
        query = (
            "SELECT generation, slot, text, reasoning FROM completions WHERE ord = ? AND purpose = 'vary'"
            " ORDER BY generation, slot, call"
        )
        for generation, slot, text, thinking in self._rows(query, order):
            found[generation, slot] = apart(thinking or "", text or "")
        own = "copied_reasoning" if self._has("copied_reasoning") else "''"
        query = f"SELECT generation, slot, copied, {own} FROM candidates WHERE ord = ? AND copied IS NOT NULL"
        for generation, slot, text, thinking in self._rows(query, order):
            found[generation, slot] = Parts(thinking or "", text)
        return found

    def _has(self, column: str) -> bool:
        """Whether the run is of a version that stored this of its candidates."""
        try:
            return column in columns(self._db)
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error

    def populations(self, order: int, *, texts: bool = False) -> list[StoredPopulation]:
        """The finished generations of a problem, oldest first. ``texts``: with the chains themselves."""
        born = {one.uid: one for one in self.candidates(order, texts=texts)}
        verdicts = self.verdicts(order)
        found = []
        query = "SELECT generation, members, fitness FROM populations WHERE ord = ? ORDER BY generation"
        for generation, listed, fitness in self._rows(query, order):
            members = tuple(born[uid] for uid in json.loads(listed))
            graded = {
                one.uid: verdicts[one.answer] for one in members if not one.failed and one.answer in verdicts
            }
            found.append(StoredPopulation(generation, members, graded, json.loads(fitness)))
        return found

    def verdicts(self, order: int) -> dict[str | None, Verdict]:
        """Verdicts of a problem by answer; None is the chain without an answer."""
        rows = self._rows("SELECT answer, grade, rule, score, detail FROM verdicts WHERE ord = ?", order)
        return {
            answer or None: Verdict(Grade(grade), rule, score, detail)
            for answer, grade, rule, score, detail in rows
        }

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
        """(problem's order, generation, prompt tokens, completion tokens) of everything stored."""
        return [
            (row[0], row[1], row[2], row[3])
            for row in self._rows(
                "SELECT ord, generation, sum(prompt_tokens), sum(completion_tokens) FROM completions"
                " GROUP BY ord, generation ORDER BY ord, generation"
            )
        ]

    def spent(self) -> int:
        """The prompt and completion tokens of everything stored, added up."""
        ((total,),) = self._rows(
            "SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) FROM completions"
        )
        return int(total)


def _completion(
    text: str,
    finish: FinishReason,
    asked: int,
    written: int,
    cached: int,
    reasoning: str | None,
    logprobs: str | None,
    first: str | None,
) -> Completion:
    found = tuple(json.loads(logprobs)) if logprobs else ()
    likeliest = tuple((token, value) for token, value in json.loads(first)) if first else ()
    return Completion(text, finish, asked, written, cached, reasoning or "", found, likeliest)
