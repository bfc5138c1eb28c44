"""The file behind the recorded backend: completions in SQLite, by what was asked.

Blocking and single-threaded: the backend calls it from one thread of its own. Any number of processes
may use one file; each write is one transaction, and the first completion stored for a key stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

from evolve_llm.nouns.errors import RequestError, StoreError, UserError
from evolve_llm.nouns.request import Completion, FinishReason, ModelInfo, Prompt, Request

APPLICATION = 0x65764C72
"""``evLr``: SQLite's application_id, by which a file is known as ours."""

VERSION = 1
BUSY_SECONDS = 30.0
"""How long a write waits for another process's transaction (each takes well under a millisecond)."""

_HEADER = b"SQLite format 3\x00"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS models (
    identity TEXT PRIMARY KEY, name TEXT NOT NULL, context_length INTEGER, details TEXT NOT NULL,
    capacity INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS responses (
    key BLOB PRIMARY KEY, text TEXT NOT NULL, finish_reason TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, reasoning TEXT NOT NULL,
    logprobs TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS failures (
    key BLOB PRIMARY KEY, reason TEXT NOT NULL, detail TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lengths (key BLOB PRIMARY KEY, tokens INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS starts (key BLOB PRIMARY KEY, places TEXT NOT NULL) WITHOUT ROWID;
"""


def request_key(identity: str, request: Request) -> bytes:
    """Digest of everything that decides an answer: model, messages, sampling, seed, and whether it comes with
    log-probabilities. Not the id."""
    asked = [identity, _messages(request.prompt), asdict(request.sampling), request.seed]
    return _digest([*asked, "logprobs"] if request.logprobs else asked)


def prompt_key(identity: str, prompt: Prompt) -> bytes:
    """Digest of everything that decides a prompt's length: model and messages."""
    return _digest([identity, _messages(prompt)])


def text_key(identity: str, text: str) -> bytes:
    """Digest of everything that decides where a text's tokens start: model and text."""
    return _digest([identity, text])


def _messages(prompt: Prompt) -> list[list[str]]:
    return [
        [message.role, message.content, *(picture.url for picture in message.pictures)]
        for message in prompt.messages
    ]


def _digest(value: object) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).digest()


class ResponseFile:
    """An open response file. Use from one thread.

    Raises UserError when ``path`` is something else than a response file, or, with ``must_exist``, is
    missing or empty; StoreError when it cannot be read or written (locked, full disk, damaged).
    """

    def __init__(self, path: Path, *, must_exist: bool = False) -> None:
        self.path = path
        _check_header(path, must_exist)
        with self._trouble():
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                self._prepare_beside_others()
            except BaseException:
                self._db.close()
                raise

    def _prepare_beside_others(self) -> None:
        """Prepare, and again where another process prepares the file: SQLite gives up at once where both change it."""
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return self._prepare()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                time.sleep(0.02)

    def _prepare(self) -> None:
        self._db.execute("BEGIN")  # one look: another process may be making the file just now
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        self._db.execute("COMMIT")
        if application != APPLICATION and (application or tables):
            raise UserError(
                f"{self.path} is an SQLite file, but not a recording of responses; name another file"
            )
        if version > VERSION:
            raise UserError(
                f"{self.path} was recorded by a newer evolve-llm (format {version}, "
                f"this one reads {VERSION}): upgrade evolve-llm or name another file"
            )
        self._db.execute("PRAGMA synchronous = NORMAL")
        if application == APPLICATION:
            return
        self._db.execute("PRAGMA journal_mode = WAL")
        with self._transaction():
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id = {APPLICATION}")
            self._db.execute(f"PRAGMA user_version = {VERSION}")

    def models(self) -> dict[str, tuple[ModelInfo, int]]:
        """The models recorded here: identity to what it said at its start, and its capacity."""
        with self._trouble():
            rows = self._db.execute("SELECT * FROM models ORDER BY identity").fetchall()
        return {row[0]: (ModelInfo(row[1], row[2], json.loads(row[3])), int(row[4])) for row in rows}

    def put_model(self, identity: str, info: ModelInfo, capacity: int) -> None:
        """Note a model; the latest start wins."""
        row = (identity, info.name, info.context_length, json.dumps(dict(info.details)), capacity)
        with self._trouble():
            self._db.execute("INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?, ?)", row)

    def get(self, key: bytes) -> Completion | None:
        """The completion stored for a key."""
        with self._trouble():
            row = self._db.execute(
                "SELECT text, finish_reason, prompt_tokens, completion_tokens, cached_tokens, reasoning, "
                "logprobs FROM responses WHERE key = ?",
                (key,),
            ).fetchone()
        if row is None:
            return None
        text, finish, prompt_tokens, completion_tokens, cached_tokens, reasoning, logprobs = row
        tokens, first = json.loads(logprobs)
        return Completion(
            _thawed(text),
            cast(FinishReason, finish),
            prompt_tokens,
            completion_tokens,
            cached_tokens,
            _thawed(reasoning),
            tuple(tokens),
            tuple((token, value) for token, value in first),
        )

    def totals(self) -> tuple[int, int]:
        """(answers, prompt + completion tokens) of all that is recorded: each was paid for once."""
        with self._trouble():
            row = self._db.execute(
                "SELECT count(*), coalesce(sum(prompt_tokens + completion_tokens), 0) FROM responses"
            ).fetchone()
        return int(row[0]), int(row[1])

    def put(self, key: bytes, completion: Completion) -> Completion:
        """Store a completion; gives the one that is stored, which another process may have put first."""
        row = (
            key,
            _frozen(completion.text),
            completion.finish_reason,
            completion.prompt_tokens,
            completion.completion_tokens,
            completion.cached_tokens,
            _frozen(completion.reasoning),
            json.dumps([completion.logprobs, completion.first_token]),
        )
        with self._trouble(), self._transaction():
            stored = self._db.execute("INSERT OR IGNORE INTO responses VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            fresh = stored.rowcount == 1
            self._db.execute("DELETE FROM failures WHERE key = ?", (key,))
        return completion if fresh else self.get(key) or completion

    def get_failure(self, key: bytes) -> RequestError | None:
        """The failure a request ended with when it was recorded, if it did."""
        with self._trouble():
            row = self._db.execute("SELECT reason, detail FROM failures WHERE key = ?", (key,)).fetchone()
        return None if row is None else RequestError(*row)

    def put_failure(self, key: bytes, error: RequestError) -> None:
        """Note that a request could not be answered, for replay."""
        row = (key, error.reason, error.detail.encode(errors="replace").decode())
        with self._trouble():
            self._db.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?)", row)

    def get_length(self, key: bytes) -> int | None:
        """The token count stored for a prompt."""
        with self._trouble():
            row = self._db.execute("SELECT tokens FROM lengths WHERE key = ?", (key,)).fetchone()
        return None if row is None else int(row[0])

    def put_length(self, key: bytes, tokens: int) -> None:
        """Store the token count of a prompt."""
        with self._trouble():
            self._db.execute("INSERT OR IGNORE INTO lengths VALUES (?, ?)", (key, tokens))

    def get_starts(self, key: bytes) -> list[int] | None:
        """Where the tokens of a text start, as stored."""
        with self._trouble():
            row = self._db.execute("SELECT places FROM starts WHERE key = ?", (key,)).fetchone()
        return None if row is None else [int(place) for place in json.loads(row[0])]

    def put_starts(self, key: bytes, places: Sequence[int]) -> None:
        """Store where the tokens of a text start."""
        with self._trouble():
            self._db.execute("INSERT OR IGNORE INTO starts VALUES (?, ?)", (key, json.dumps(list(places))))

    def close(self) -> None:
        """Close the file; what was put is in it."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(
                f"the recording {self.path} cannot be used: {error}; free some space, end the process that "
                "locks it, or name another file"
            ) from error


def _check_header(path: Path, must_exist: bool) -> None:
    """Refuse what is clearly no recording before SQLite touches it."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_HEADER))
    except FileNotFoundError:
        if must_exist:
            raise UserError(
                f"there is no recording {path}; make one with --cache {path} and a model that answers"
            ) from None
        if not path.parent.is_dir():
            raise UserError(f"the folder of the recording {path} does not exist; create it first") from None
        return
    except OSError as error:
        raise UserError(f"the recording {path} cannot be opened: {error.strerror}") from None
    if not head and must_exist:
        raise UserError(f"the recording {path} is empty; make one with --cache and a model that answers")
    if head and head != _HEADER:
        raise UserError(
            f"{path} is not a recording of responses (it is not an SQLite file); name another file"
        )


def _frozen(text: str) -> str | bytes:
    """Text as SQLite takes it: lone surrogates, which UTF-8 cannot hold, go in as bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")
    return text


def _thawed(value: str | bytes) -> str:
    return value.decode(errors="surrogatepass") if isinstance(value, bytes) else value
