"""Candidates and outcomes as rows: whatever a stored field holds comes back, and no field is forgotten."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from evolve_llm import Candidate, Completion
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.candidate import Status
from evolve_llm.nouns.outcome import Failure
from evolve_llm.record import columns
from evolve_llm.record.run_files import SCHEMA

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
uids = st.lists(texts, max_size=3).map(tuple)
counts = st.integers(0, 2**63 - 1)
candidates = st.builds(
    Candidate,
    problem=st.just("p"),
    generation=st.integers(0, 9),
    slot=st.integers(0, 9),
    operator=texts,
    text=texts,
    answer=st.none() | texts,
    answer_class=st.none() | texts,
    parents=uids,
    dropped=uids,
    status=st.sampled_from(Status),
    reason=texts,
    prompt_tokens=counts,
    completion_tokens=counts,
    cached_tokens=counts,
    copied=st.booleans(),
    reasoning=texts,
    left_out=uids,
    cut=st.lists(counts, max_size=3).map(tuple),
)
logprobs = st.lists(st.floats(-50, 0), max_size=3).map(tuple)
completions = st.builds(
    Completion,
    texts,
    st.sampled_from(("stop", "length")),
    counts,
    counts,
    counts,
    texts,
    logprobs,
    st.lists(st.tuples(texts, st.floats(-50, 0)), max_size=3).map(tuple),
)


def through(table: str, names: tuple[str, ...], row: columns.Row) -> columns.Row:
    """A row, written to a database and read from it."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        db.execute(columns.insert(table, names), row)
        (found,) = db.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()
        everything = [name for (name,) in db.execute(f"SELECT name FROM pragma_table_info('{table}')")]
    assert tuple(everything) == names
    return dict(zip(names, found, strict=True))


@given(candidates)
def test_every_stored_field_of_a_candidate_comes_back(one: Candidate) -> None:
    row = through("candidates", columns.CANDIDATE, columns.candidate_row(3, one))
    assert row["ord"] == 3
    assert (row["copied"], row["copied_reasoning"]) == (
        (one.text, one.reasoning or None) if one.copied else (None, None)
    )
    found = columns.read_candidate("p", row, one.reasoning, one.text)
    for field in fields(Candidate):
        if field.metadata.get("stored", True):
            assert getattr(found, field.name) == getattr(one, field.name), field.name


def test_a_field_is_stored_unless_it_says_otherwise() -> None:
    told = {one.name for one in fields(Candidate) if one.metadata.get("stored", True)}
    assert {one.field for one in columns.STORED} == told
    assert {one.name for one in fields(Candidate)} - told == {
        "alias",
        "text_tokens",
        "evaluation_tokens",
        "logprobs",
        "evidence",
        "fitness",
    }


@given(completions | st.builds(Failure, texts, texts))
def test_every_field_of_an_outcome_comes_back(outcome: Completion | Failure) -> None:
    address = Address(1, 2, "vary", 3)
    row = through("completions", columns.COMPLETION, columns.completion_row(0, address, "digest", 7, outcome))
    assert columns.read_outcome(row) == outcome
    assert (row["prompt"], row["seed"]) == ("digest", 7)


def test_what_a_failure_says_is_kept_in_part() -> None:
    long = Failure("timeout", "x" * 9000)
    row = columns.completion_row(0, Address(0, 0, "vary", 0), "", 0, long)
    assert columns.read_outcome(row) == replace(long, detail="x" * 2000)
