"""The files of a run directory: creating, locking, opening, and telling what is wrong with them."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evolve_llm.basics.whole_file import PART, write_whole
from evolve_llm.nouns.errors import StoreError, UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.record.columns import TABLE, dump

SCHEMA = f"""
CREATE TABLE problems (ord INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL);
CREATE TABLE completions (
    ord INTEGER, generation INTEGER, slot INTEGER, purpose TEXT, call INTEGER,
    prompt TEXT NOT NULL, seed INTEGER NOT NULL, text TEXT, reasoning TEXT, finish_reason TEXT,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    error TEXT, detail TEXT, logprobs TEXT, first_token TEXT,
    PRIMARY KEY (ord, generation, slot, purpose, call)) WITHOUT ROWID;
CREATE TABLE candidates (
    ord INTEGER, {", ".join(column.definition for column in TABLE)}, PRIMARY KEY (ord, generation, slot)) WITHOUT ROWID;
CREATE TABLE populations (
    ord INTEGER, generation INTEGER, members TEXT NOT NULL, fitness TEXT NOT NULL, weights TEXT NOT NULL,
    PRIMARY KEY (ord, generation)) WITHOUT ROWID;
CREATE TABLE verdicts (
    ord INTEGER, answer TEXT, grade TEXT NOT NULL, rule TEXT NOT NULL, score REAL, detail TEXT NOT NULL,
    PRIMARY KEY (ord, answer)) WITHOUT ROWID;
CREATE TABLE answers (ord INTEGER PRIMARY KEY, uid TEXT, answer TEXT) ;
"""
FORMAT = 1  # of the run directory; raised when an older one can no longer be read


def read_run_json(path: Path) -> dict[str, Any]:
    """The configuration and environment of a run. Raises StoreError where it is damaged or from the future."""
    try:
        data: dict[str, Any] = json.loads((path / "run.json").read_text("utf-8"))
        version = data["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path / 'run.json'} cannot be read: {error}") from error
    if version != FORMAT:
        raise StoreError(
            f"{path} was written in format {version}, but this version of evolve-llm reads format {FORMAT}"
        )
    return data


def require_same(path: Path, config: Mapping[str, Any]) -> bool | None:
    """Whether the run in a directory is complete; None where the directory holds no run, or one that has
    spent nothing yet and may be made anew.

    Raises UserError with the difference where it belongs to another configuration.
    """
    if not (path / "run.json").exists():
        return None
    stored = read_run_json(path)["config"]
    db = connect(path / "run.db", writable=False)
    try:
        spent = db.execute("SELECT EXISTS (SELECT 1 FROM completions)").fetchone()[0]
        answered = db.execute("SELECT count(*) FROM answers").fetchone()[0]
    except sqlite3.Error as error:
        raise store_error(path, error) from error
    finally:
        db.close()
    difference = differences(stored, json.loads(json.dumps(config)))
    if not difference:
        return bool(answered == stored["problems"]["count"])
    if not spent:
        return None
    listed = "\n".join(f"  {line}" for line in difference)
    raise UserError(
        f"{path} holds a run of another configuration:\n{listed}\nGive another --out, or repeat the command "
        "that made the run."
    )


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Where two plain values differ, one line each, by dotted path."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines = []
        for key in [*old, *(key for key in new if key not in old)]:
            path = f"{where}.{key}" if where else str(key)
            if key not in new:
                lines.append(f"{path}: the run has {old[key]!r}, now it is unset")
            elif key not in old:
                lines.append(f"{path}: unset in the run, now it is {new[key]!r}")
            else:
                lines += differences(old[key], new[key], path)
        return lines
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line
            for i, (a, b) in enumerate(zip(old, new, strict=True))
            for line in differences(a, b, f"{where}.{i}")
        ]
    return [] if old == new else [f"{where}: the run has {old!r}, now it is {new!r}"]


def take_directory(path: Path) -> int:
    try:
        if path.is_dir() and not (path / "run.json").exists():
            strangers = [
                entry.name for entry in path.iterdir() if not entry.name.startswith(("run.", "lock"))
            ]
            if strangers:
                raise UserError(
                    f"{path} is not a run directory, and it is not empty (it holds {strangers[0]}); give "
                    "another --out"
                )
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{path} is a file, not a run directory; give another --out") from error
    except OSError as error:
        raise StoreError(f"cannot write to the run directory {path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise StoreError(
            f"another process is writing {path}; wait until it ends, or give another --out"
        ) from None
    return lock


def create(
    path: Path, config: Mapping[str, Any], environment: Mapping[str, Any], problems: Sequence[Problem]
) -> None:
    """The database first, run.json last and by ``write_whole``: a directory with a run.json is complete."""
    try:
        for left in (*path.glob("run.db*"), *path.glob(f"run.json*{PART}")):
            drop(left)
        db = connect(path / "run.db", writable=True)
        try:
            db.executescript(SCHEMA)
            db.execute("BEGIN")
            rows = [(place, problem.id, dump(problem.plain())) for place, problem in enumerate(problems)]
            db.executemany("INSERT INTO problems VALUES (?,?,?)", rows)
            db.execute("COMMIT")
        finally:
            db.close()
        text = json.dumps(
            {"format": FORMAT, "config": config, "environment": environment}, indent=2, ensure_ascii=False
        )
        write_whole(path / "run.json", text + "\n")
    except sqlite3.Error as error:
        raise store_error(path, error) from error
    except OSError as error:
        raise StoreError(f"cannot write to the run directory {path}: {error.strerror}") from error


def connect(file: Path, *, writable: bool) -> sqlite3.Connection:
    if not writable and not file.is_file():
        raise StoreError(f"{file} is missing, so the run directory is incomplete")
    try:
        if writable:
            db = sqlite3.connect(file, isolation_level=None, timeout=10.0)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
        else:
            db = sqlite3.connect(
                f"{file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10.0
            )
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return db
    except sqlite3.Error as error:
        raise store_error(file.parent, error) from error


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    text = str(error)
    if "full" in text or "disk I/O" in text:
        return StoreError(
            f"cannot write to {path}: {text}. Everything stored before is safe. Free some space, and repeat "
            "the command to resume"
        )
    if "malformed" in text or "not a database" in text:
        return StoreError(
            f"{path / 'run.db'} is damaged: {text}. Restore it from a copy, or give another --out"
        )
    if "locked" in text:
        return StoreError(
            f"{path / 'run.db'} is in use by another program ({text}); close it and repeat the command"
        )
    return StoreError(f"{path / 'run.db'}: {text}")


def drop(path: Path) -> None:
    """Delete a file that may not exist."""
    path.unlink(missing_ok=True)
