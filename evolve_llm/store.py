"""The run directory: every completion on disk before anything that depends on it starts.

    run.json        what was run: configuration, and the environment it ran in (versions, git revision)
    run.db          SQLite: problems, completions, candidates, populations, verdicts, answers
    sessions.jsonl  one line a start: when, how long, how many tokens (the only place with clocks in it)
    lock            held while a process writes

Completions are the truth; candidates, populations and answers are pure functions of them, written when
a generation is complete. Tables are keyed by address and the finished file is compacted, so equal runs
are equal bytes (invariant I1). Completions that arrive together are committed together. Commits survive
``kill -9`` of the process; the last instants before a power failure may be lost, consistently.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from evolve_llm.candidate import Candidate, Fitness, Status, fitness_class
from evolve_llm.errors import StoreError, UserError
from evolve_llm.problem import Problem
from evolve_llm.request import Completion, FinishReason
from evolve_llm.run_files import (
    connect,
    create,
    drop,
    dump,
    read_run_json,
    require_same,
    store_error,
    take_directory,
)
from evolve_llm.verdict import Grade, Verdict


class Address(NamedTuple):
    """Where a completion belongs within its problem."""

    generation: int
    slot: int
    purpose: str
    call: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that could not be answered, and why (a ``RequestError``'s reason and detail)."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Recalled:
    """A stored outcome with the digest of the prompt it answered."""

    prompt: str
    outcome: Completion | Failure


@dataclass(frozen=True, slots=True)
class StoredPopulation:
    """One finished generation of one problem as stored.

    ``fitness`` (values by uid) is as it was in this generation: a survivor's may have changed since.
    """

    generation: int
    members: tuple[Candidate, ...]
    verdicts: Mapping[str, Verdict]
    fitness: Mapping[str, Sequence[float]] = field(default_factory=dict)


class Store:
    """A run directory opened for reading, or, through ``open_for_run``, for one process to write."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int | None) -> None:
        self.path = path
        self._db = connection
        self._lock = lock
        self._pending: list[tuple[Any, ...]] = []
        self._committed: asyncio.Future[None] | None = None

    # ---------------------------------------------------------------- opening and closing

    @classmethod
    def open_for_run(
        cls,
        path: Path,
        config: Mapping[str, Any],
        environment: Mapping[str, Any],
        problems: Sequence[Problem],
    ) -> Store:
        """Create the directory, or resume in it.

        Raises UserError when it belongs to another configuration (with the difference) or is some other
        folder, StoreError when another process holds it or it cannot be written or read.
        """
        lock = take_directory(path)
        try:
            if require_same(path, config) is None:
                create(path, config, environment, problems)
            drop(path / "run.db.compact")
            connection = connect(path / "run.db", writable=True)
            return cls(path, connection, lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def open_to_read(cls, path: Path) -> Store:
        """Open an existing run, also while another process writes it. Raises UserError where there is none."""
        if not (path / "run.json").is_file():
            raise UserError(f"{path} is not a run directory (it has no run.json)")
        read_run_json(path)
        return cls(path, connect(path / "run.db", writable=False), None)

    @classmethod
    def open_to_edit(cls, path: Path) -> Store:
        """Open an existing run for changing its verdicts. Raises as the two above."""
        if not (path / "run.json").is_file():
            raise UserError(f"{path} is not a run directory (it has no run.json)")
        lock = take_directory(path)
        try:
            return cls(path, connect(path / "run.db", writable=True), lock)
        except BaseException:
            os.close(lock)
            raise

    def close(self, *, compact: bool = False) -> None:
        """Commit what is pending and let go of the directory. ``compact``: the run is complete; rewrite the
        database in key order so that equal runs are equal bytes (skipped where the disk has no room)."""
        try:
            self._flush()
        finally:
            if compact:
                with contextlib.suppress(sqlite3.Error, OSError):
                    self._compact()
            self._db.close()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _compact(self) -> None:
        target = self.path / "run.db.compact"
        drop(target)
        ((busy, _, _),) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if busy:  # somebody reads it: a log left behind must never meet the new file. The next close compacts
            return
        self._db.execute("VACUUM INTO ?", (str(target),))
        with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as fresh:
            fresh.execute("PRAGMA schema_version = 1")  # VACUUM counts it up: a second one would differ
        self._db.close()
        target.replace(self.path / "run.db")
        for suffix in ("-wal", "-shm"):
            drop(self.path / f"run.db{suffix}")

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------- writing

    def put(
        self, order: int, address: Address, prompt: str, seed: int, outcome: Completion | Failure
    ) -> asyncio.Future[None]:
        """Store one outcome; the future is done once it is committed (with all that arrived meanwhile)."""
        if isinstance(outcome, Failure):
            tail: tuple[Any, ...] = (
                None,
                None,
                None,
                0,
                0,
                0,
                outcome.reason,
                outcome.detail[:2000],
                None,
                None,
            )
        else:
            tail = (
                outcome.text,
                outcome.reasoning or None,
                outcome.finish_reason,
                outcome.prompt_tokens,
                outcome.completion_tokens,
                outcome.cached_tokens,
                None,
                None,
                dump(outcome.logprobs) if outcome.logprobs else None,
                dump(outcome.first_token) if outcome.first_token else None,
            )
        self._pending.append((order, *address, prompt, seed, *tail))
        if self._committed is None:
            loop = asyncio.get_running_loop()
            self._committed = loop.create_future()
            loop.call_soon(self._commit_batch, self._committed)
        return self._committed

    def _commit_batch(self, done: asyncio.Future[None]) -> None:
        self._committed = None
        try:
            self._flush()
        except Exception as error:  # whatever it is, those who wait must hear of it
            if not done.cancelled():
                done.set_exception(error)
        else:
            if not done.cancelled():
                done.set_result(None)

    def _flush(self) -> None:
        if not self._pending:
            return
        with self._transaction() as db:
            db.executemany(f"INSERT INTO completions VALUES ({','.join('?' * 17)})", self._pending)
        self._pending.clear()

    def put_generation(
        self,
        order: int,
        generation: int,
        born: Sequence[Candidate],
        members: Sequence[Candidate],
        verdicts: Mapping[str, Verdict],
        answer: Candidate | None = None,
        *,
        last: bool = False,
    ) -> None:
        """Store a finished generation in one transaction: candidates born in it, its members, and their
        verdicts; with ``last`` also the problem's answer."""
        with self._transaction() as db:
            db.executemany(
                f"INSERT OR REPLACE INTO candidates VALUES ({','.join('?' * 14)})",
                [_row(order, one) for one in born],
            )
            fitness = {one.uid: list(one.fitness.values) for one in members if one.fitness.valid}
            weights = next((list(one.fitness.weights) for one in members if one.fitness.valid), [])
            db.execute(
                "INSERT OR REPLACE INTO populations VALUES (?,?,?,?,?)",
                (order, generation, dump([one.uid for one in members]), dump(fitness), dump(weights)),
            )
            db.executemany(
                "INSERT OR IGNORE INTO verdicts VALUES (?,?,?,?,?,?)",
                {
                    _verdict_row(order, one.answer, verdicts[one.uid])
                    for one in (*members, *born)  # the answer of an asking finish is born and no member
                    if one.uid in verdicts
                },
            )
            if last:
                row = (order, answer.uid if answer else None, answer.answer if answer else None)
                db.execute("INSERT OR REPLACE INTO answers VALUES (?,?,?)", row)

    def replace_verdicts(self, order: int, verdicts: Mapping[str | None, Verdict], problem: Problem) -> None:
        """Give a problem new verdicts (by answer) and the reference they were given against."""
        with self._transaction() as db:
            db.execute("DELETE FROM verdicts WHERE ord = ?", (order,))
            rows = [_verdict_row(order, answer, verdict) for answer, verdict in verdicts.items()]
            db.executemany("INSERT INTO verdicts VALUES (?,?,?,?,?,?)", rows)
            db.execute("UPDATE problems SET body = ? WHERE ord = ?", (dump(asdict(problem)), order))

    def log_session(self, entry: Mapping[str, Any]) -> None:
        """Append one line to sessions.jsonl. Never fails the run."""
        with contextlib.suppress(OSError), (self.path / "sessions.jsonl").open("a", encoding="utf-8") as file:
            file.write(dump(entry) + "\n")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise store_error(self.path, error) from error
            if isinstance(error, OverflowError | UnicodeError):
                raise StoreError(f"{self.path / 'run.db'} cannot hold what it was given: {error}") from error
            raise

    # ---------------------------------------------------------------- reading

    def _rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error

    def problems(self) -> list[Problem]:
        """All problems, in order."""
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
        """Problems (by order) that have their answer."""
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
        chain = (
            "coalesce(c.copied, (SELECT m.text FROM completions m WHERE m.ord = c.ord AND m.generation ="
            " c.generation AND m.slot = c.slot AND m.purpose = 'vary' ORDER BY m.call DESC LIMIT 1), '')"
            if texts
            else "''"
        )
        rows = self._rows(
            "SELECT generation, slot, operator, parents, dropped, status, reason, answer, answer_class,"
            f" prompt_tokens, completion_tokens, cached_tokens, copied IS NOT NULL, {chain}"
            " FROM candidates c WHERE ord = ? ORDER BY generation, slot",
            order,
        )
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
            text,
        ) in rows:
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
            )
            if one.uid in fitness:
                one.fitness = kind()
                one.fitness.assign(fitness[one.uid])
            found.append(one)
        return found

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
        """Prompt and completion tokens of everything stored."""
        ((total,),) = self._rows(
            "SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) FROM completions"
        )
        return int(total)


def _row(order: int, one: Candidate) -> tuple[Any, ...]:
    return (
        order,
        one.generation,
        one.slot,
        one.operator,
        dump(one.parents),
        dump(one.dropped),
        one.status.value,
        one.reason,
        one.text if one.copied else None,
        one.answer,
        one.answer_class,
        one.prompt_tokens,
        one.completion_tokens,
        one.cached_tokens,
    )


def _verdict_row(order: int, answer: str | None, verdict: Verdict) -> tuple[Any, ...]:
    return (order, answer or "", verdict.grade.value, verdict.rule, verdict.score, verdict.detail)


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
