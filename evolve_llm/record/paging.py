"""Reading a run a page at a time: every question is one query, and no answer grows with the run."""

from __future__ import annotations

import json
import math
import sqlite3
from pathlib import Path
from typing import Any

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.record.reader import StoreReader
from evolve_llm.record.run_files import connect, read_run_json, store_error

LONGEST_PAGE = 200

_MEMBERS = """
WITH places AS (SELECT ord FROM problems WHERE ord >= :first AND ord < :end),
members AS (
    SELECT p.ord AS ord, p.generation AS generation, c.answer_class AS class, c.status AS status,
        coalesce(v.grade, 'ungraded') AS grade
    FROM places JOIN populations p ON p.ord = places.ord, json_each(p.members) m
    JOIN candidates c ON c.ord = p.ord
        AND c.generation = CAST(substr(m.value, 1, instr(m.value, '.') - 1) AS INTEGER)
        AND c.slot = CAST(substr(m.value, instr(m.value, '.') + 1) AS INTEGER)
    LEFT JOIN verdicts v ON v.ord = c.ord AND v.answer = coalesce(c.answer, '') AND c.status != 'failed'),
classes AS (
    SELECT ord, generation, class, count(*) AS votes, sum(grade = 'correct') AS correct,
        sum(grade != 'ungraded') AS graded, sum(status = 'truncated') AS truncated,
        sum(status = 'failed') AS failed
    FROM members GROUP BY ord, generation, class),
ranked AS (
    SELECT *, max(CASE WHEN class IS NULL THEN 0 ELSE votes END) OVER (PARTITION BY ord, generation) AS top
    FROM classes),
cells AS (
    SELECT ord, generation, sum(votes) AS size, sum(correct) AS correct, sum(graded) AS graded,
        sum(class IS NOT NULL) AS classes, sum(truncated) AS truncated, sum(failed) AS failed,
        max(top) AS largest,
        coalesce(avg(CASE WHEN class IS NOT NULL AND votes = top THEN 1.0 * correct / max(graded, 1) END), 0.0)
            AS majority
    FROM ranked GROUP BY ord, generation)
"""


_EFFECTIVE_PARENTS = """
WITH uses AS (
    SELECT c.ord AS ord, c.generation AS generation, m.value AS uid, count(*) AS times
    FROM candidates c JOIN populations p ON p.ord = c.ord AND p.generation = c.generation, json_each(c.parents) m
    WHERE c.parents != '[]' AND NOT EXISTS (
        SELECT 1 FROM json_each(c.parents) WHERE value LIKE c.generation || '.%')
    GROUP BY c.ord, c.generation, m.value)
SELECT generation, avg(effective) FROM (
    SELECT generation, 1.0 * sum(times) * sum(times) / sum(times * times) AS effective
    FROM uses GROUP BY ord, generation)
GROUP BY generation
"""

_RIGHT_MINORITY = """
shares AS (SELECT ord, generation, 1.0 * correct / graded AS now FROM cells WHERE graded > 0),
steps AS (
    SELECT s.ord AS ord, s.generation AS generation, coalesce(b.now > 0 AND b.now <= 0.5, 0) AS minority,
        coalesce(b.now > 0 AND b.now <= 0.5 AND s.now = 0, 0) AS lost
    FROM shares s LEFT JOIN shares b ON b.ord = s.ord AND b.generation = s.generation - 1)
"""


def _entropy_term(votes: int, total: int) -> float:
    return -votes / total * math.log2(votes / total)


class PagedReader(StoreReader):
    """A run opened to be looked at, also while another process writes it."""

    def __init__(self, path: Path) -> None:
        """Raises UserError where there is no run, StoreError where it is damaged or of another format."""
        if not (path / "run.json").is_file():
            raise UserError(f"{path} is not a run directory (it has no run.json)")
        read_run_json(path)
        self.path = path
        self._db = connect(path / "run.db", writable=False)
        self._db.create_function("entropy_term", 2, _entropy_term, deterministic=True)

    def __enter__(self) -> PagedReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    def _dicts(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        try:
            cursor = self._db.execute(query, parameters)
            names = [one[0] for one in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error

    def progress(self) -> tuple[int, int]:
        """(finished generations of all problems, chains written): what grows while a run goes on.

        The texts of finished problems are not read for it.
        """
        ((generations, ended, written),) = self._rows(
            "SELECT (SELECT count(*) FROM populations),"
            " (SELECT count(*) FROM candidates WHERE ord IN (SELECT ord FROM answers)),"
            " (SELECT count(*) FROM completions WHERE purpose = 'vary'"
            "  AND ord IN (SELECT ord FROM problems WHERE ord NOT IN (SELECT ord FROM answers)))"
        )
        return int(generations), int(ended) + int(written)

    def closed(self) -> list[int]:
        """The generations that every problem has finished, or has ended before, in order."""
        rows = self._rows(
            "SELECT g.generation FROM (SELECT DISTINCT generation FROM populations) g WHERE NOT EXISTS ("
            " SELECT 1 FROM problems p WHERE NOT EXISTS (SELECT 1 FROM answers a WHERE a.ord = p.ord)"
            " AND NOT EXISTS (SELECT 1 FROM populations q WHERE q.ord = p.ord AND q.generation = g.generation))"
            " ORDER BY g.generation"
        )
        return [generation for (generation,) in rows]

    def by_generation(self) -> list[dict[str, Any]]:
        """Accuracy, majority, diversity and losses of each generation over the problems that finished it.

        ``square`` is the mean square of a problem's accuracy, from which an interval over problems follows, and
        ``majority_square`` that of its majority.
        """
        query = (
            _MEMBERS
            + """
            SELECT generation, count(*) AS problems, sum(graded > 0) AS graded,
                avg(CASE WHEN graded > 0 THEN 1.0 * correct / graded END) AS accuracy,
                avg(CASE WHEN graded > 0 THEN 1.0 * correct * correct / graded / graded END) AS square,
                avg(CASE WHEN graded > 0 THEN correct > 0 END) AS any_correct,
                avg(CASE WHEN graded > 0 THEN majority END) AS majority,
                avg(CASE WHEN graded > 0 THEN majority * majority END) AS majority_square,
                avg(classes) AS classes, sum(truncated) AS truncated, sum(failed) AS failed
            FROM cells GROUP BY generation ORDER BY generation"""
        )
        return self._dicts(query, first=0, end=2**62)

    def diversity(self) -> list[dict[str, Any]]:
        """Diversity of each generation, as ``analysis.health`` measures it, over the problems that finished it.

        ``entropy`` in bits and ``effective_parents`` are means over problems, None where there is nothing to measure.
        ``minority`` counts the problems whose generation before held right answers in the minority, and ``lost``
        those of them that hold none now.
        """
        query = _MEMBERS + (
            f""",{_RIGHT_MINORITY},
            entropies AS (
                SELECT ord, generation, sum(entropy_term(votes, total)) AS entropy FROM (
                    SELECT ord, generation, votes, sum(votes) OVER (PARTITION BY ord, generation) AS total
                    FROM classes WHERE class IS NOT NULL) GROUP BY ord, generation)
            SELECT c.generation AS generation, avg(e.entropy) AS entropy, sum(s.minority) AS minority,
                sum(s.lost) AS lost
            FROM cells c LEFT JOIN entropies e ON e.ord = c.ord AND e.generation = c.generation
            LEFT JOIN steps s ON s.ord = c.ord AND s.generation = c.generation
            GROUP BY c.generation ORDER BY c.generation"""
        )
        rows = self._dicts(query, first=0, end=2**62)
        parents = dict(self._rows(_EFFECTIVE_PARENTS))
        return [{**row, "effective_parents": parents.get(row["generation"])} for row in rows]

    def ends(self) -> list[dict[str, Any]]:
        """The place, id and last finished generation of each problem that has one, with its answer's grade."""
        query = (
            _MEMBERS
            + """
            SELECT c.ord AS place, p.id AS id, c.correct AS correct, c.graded AS graded, v.grade AS grade
            FROM cells c JOIN problems p ON p.ord = c.ord LEFT JOIN answers a ON a.ord = c.ord
            LEFT JOIN verdicts v ON v.ord = c.ord AND v.answer = coalesce(a.answer, '') AND a.uid IS NOT NULL
            WHERE c.generation = (SELECT max(generation) FROM populations q WHERE q.ord = c.ord) ORDER BY c.ord"""
        )
        return self._dicts(query, first=0, end=2**62)

    def heat(self, first: int, count: int) -> list[dict[str, Any]]:
        """Each finished generation of a page of problems: its size, correct members and largest class."""
        end = first + min(count, LONGEST_PAGE)
        query = _MEMBERS + (
            "SELECT ord, generation, size, correct, graded, classes, largest FROM cells ORDER BY ord, generation"
        )
        return self._dicts(query, first=first, end=end)

    def page(self, first: int, count: int) -> list[dict[str, Any]]:
        """The place, id, answer and verdict of a page of problems."""
        query = """
            SELECT p.ord AS place, p.id AS id, a.uid AS uid, a.answer AS answer, v.grade AS grade, v.rule AS rule,
                a.ord IS NOT NULL AS finished
            FROM problems p LEFT JOIN answers a ON a.ord = p.ord
            LEFT JOIN verdicts v ON v.ord = p.ord AND v.answer = coalesce(a.answer, '') AND a.uid IS NOT NULL
            WHERE p.ord >= :first AND p.ord < :end ORDER BY p.ord"""
        return self._dicts(query, first=first, end=first + min(count, LONGEST_PAGE))

    def problem(self, place: int) -> dict[str, Any]:
        """One problem as JSON keeps it. Raises UserError where the run has no such place."""
        rows = self._rows("SELECT body FROM problems WHERE ord = ?", place)
        if not rows:
            raise UserError(f"{self.path} has no problem number {place}")
        found: dict[str, Any] = json.loads(rows[0][0])
        return found

    def logprobs(self, place: int, born: Candidate) -> list[float]:
        """The log-probability of each token of a candidate's last call; empty where the run kept none."""
        rows = self._rows(
            "SELECT logprobs FROM completions WHERE ord = ? AND generation = ? AND slot = ? AND purpose = 'vary'"
            " ORDER BY call DESC LIMIT 1",
            *(place, born.generation, born.slot),
        )
        found: list[float] = json.loads(rows[0][0] or "[]") if rows else []
        return found

    def members(self, place: int) -> list[tuple[int, list[str]]]:
        """(generation, uids of its members) of each finished generation of a problem."""
        query = "SELECT generation, members FROM populations WHERE ord = ? ORDER BY generation"
        return [(generation, json.loads(listed)) for generation, listed in self._rows(query, place)]
