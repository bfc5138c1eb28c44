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
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evolve_llm.nouns.address import Address
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import StoreError, UserError
from evolve_llm.nouns.outcome import Failure, Recalled
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.record.columns import (
    CANDIDATE,
    COMPLETION,
    StoredRow,
    candidate_row,
    completion_row,
    dump,
    insert,
)
from evolve_llm.record.reader import StoredPopulation, StoreReader
from evolve_llm.record.run_files import (
    connect,
    create,
    drop,
    read_run_json,
    require_same,
    store_error,
    take_directory,
)

__all__ = ["Address", "Failure", "Recalled", "Store", "StoredPopulation"]


class Store(StoreReader):
    """A run directory opened for reading, or, through ``open_for_run``, for one process to write."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int | None) -> None:
        self.path = path
        self._db = connection
        self._lock = lock
        self._pending: list[StoredRow] = []
        self._waiters: list[asyncio.Future[None]] = []

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
            return cls(path, connect(path / "run.db", writable=True), lock)
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
        self, place: int, address: Address, prompt: str, seed: int, outcome: Completion | Failure
    ) -> asyncio.Future[None]:
        """Store one outcome; the future is done once it is committed (with all that arrived meanwhile).

        Each call gets a future of its own: a waiter that is cancelled takes nobody else's commit with it.
        """
        self._pending.append(completion_row(place, address, prompt, seed, outcome))
        loop = asyncio.get_running_loop()
        if not self._waiters:
            loop.call_soon(self._commit_batch)
        waiter = loop.create_future()
        self._waiters.append(waiter)
        return waiter

    def _commit_batch(self) -> None:
        waiters, self._waiters = self._waiters, []
        failure: Exception | None = None
        try:
            self._flush()
        except Exception as error:  # whatever it is, those who wait must hear of it
            failure = error
        for waiter in waiters:
            if waiter.cancelled():
                continue
            if failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(failure)

    def _flush(self) -> None:
        if not self._pending:
            return
        with self._transaction() as db:
            db.executemany(insert("completions", COMPLETION), self._pending)
        self._pending.clear()

    def put_generation(
        self,
        place: int,
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
                insert("candidates", CANDIDATE, replace=True), [candidate_row(place, one) for one in born]
            )
            fitness = {one.uid: list(one.fitness.values) for one in members if one.fitness.valid}
            weights = next((list(one.fitness.weights) for one in members if one.fitness.valid), [])
            db.execute(
                "INSERT OR REPLACE INTO populations VALUES (?,?,?,?,?)",
                (place, generation, dump([one.uid for one in members]), dump(fitness), dump(weights)),
            )
            db.executemany(
                "INSERT OR IGNORE INTO verdicts VALUES (?,?,?,?,?,?)",
                {
                    _verdict_row(place, one.answer, verdicts[one.uid])
                    for one in (*members, *born)  # the answer of an asking finish is born and no member
                    if one.uid in verdicts
                },
            )
            if last:
                row = (place, answer.uid if answer else None, answer.answer if answer else None)
                db.execute("INSERT OR REPLACE INTO answers VALUES (?,?,?)", row)

    def replace_verdicts(self, place: int, verdicts: Mapping[str | None, Verdict], problem: Problem) -> None:
        """Give a problem new verdicts (by answer) and the reference they were given against."""
        with self._transaction() as db:
            db.execute("DELETE FROM verdicts WHERE ord = ?", (place,))
            rows = [_verdict_row(place, answer, verdict) for answer, verdict in verdicts.items()]
            db.executemany("INSERT INTO verdicts VALUES (?,?,?,?,?,?)", rows)
            db.execute("UPDATE problems SET body = ? WHERE ord = ?", (dump(problem.plain()), place))

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
                raise StoreError(f"{self.path / 'run.db'} cannot store what it was given: {error}") from error
            raise


def _verdict_row(place: int, answer: str | None, verdict: Verdict) -> tuple[Any, ...]:
    return (place, answer or "", verdict.grade.value, verdict.rule, verdict.score, verdict.detail)
