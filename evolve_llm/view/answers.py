"""What the pages ask of a run, as plain data. The server and the report both answer from here."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from evolve_llm.engine.rebuilding import prompts_of
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import EvolveError, UserError
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.record.paging import PagedReader
from evolve_llm.record.run_files import read_run_json
from evolve_llm.scheme import registry

PAGE = 50
"""Problems on a page of the run."""

RECENT = 60.0
"""Seconds after the last thing was written for which an unfinished run is said to be running."""

GRIDS, SIDE = 24, 60
"""The most grids of colours that are drawn of one text, and the most rows and cells of each."""


def course(path: Path) -> dict[str, Any]:
    """What of a run is added up over all its problems: its generations, its tokens, and how many have finished."""
    with PagedReader(path) as reader:
        generations, ended, begun = reader.by_generation(), reader.finished(), reader.begun()
        tokens: dict[int, int] = {}
        for generation, _, _, prompt, completion, _ in reader.tokens():
            tokens[generation] = tokens.get(generation, 0) + prompt + completion
    for row in generations:
        row["tokens"] = tokens.get(row["generation"], 0)
    return {
        "generations": generations,
        "tokens": sum(tokens.values()),
        "finished": len(ended),
        "under_way": len(begun - ended),
        "seconds": _seconds(path),
    }


def _seconds(path: Path) -> float:
    """How long the sessions that have ended took together."""
    try:
        lines = (path / "sessions.jsonl").read_text("utf-8").splitlines()
        return math.fsum(float(json.loads(line)["seconds"]) for line in lines)
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0  # none has ended yet, or it was cut off: the pages then say nothing of time


Course = Callable[[Path], dict[str, Any]]


def summary(name: str, path: Path, known: Course = course) -> dict[str, Any]:
    """One line of the table of runs. A directory that cannot be read is a line that says why.

    ``known`` gives the run's course, remembered or not.
    """
    try:
        described = read_run_json(path)
        config, found = described["config"], known(path)
        accuracies = [row["accuracy"] for row in found["generations"]] or [None]
        return {
            "name": name,
            "preset": config["preset"]["name"],
            "model": config["model"],
            "set": described.get("environment", {}).get("problems"),
            "seed": config["seed"],
            "problems": config["problems"]["count"],
            "finished": found["finished"],
            "state": _state(path, found["finished"] == config["problems"]["count"]),
            "tokens": found["tokens"],
            "first": accuracies[0],
            "last": accuracies[-1],
        }
    except EvolveError as error:
        return {"name": name, "error": str(error)}
    except (KeyError, TypeError) as error:
        return {"name": name, "error": f"{path / 'run.json'} lacks {error}"}


def _state(path: Path, complete: bool) -> str:
    """``complete``, ``running`` where something was written within the last minute, else ``stopped``."""
    if complete:
        return "complete"
    written = [file.stat().st_mtime for file in (path / "run.db", path / "run.db-wal") if file.exists()]
    return "running" if time.time() - max(written, default=0.0) < RECENT else "stopped"


def run(name: str, path: Path, known: Course = course) -> dict[str, Any]:
    """A run's settings and the course of its generations."""
    config, found = read_run_json(path)["config"], known(path)
    told = {key: found[key] for key in ("generations", "under_way", "seconds")}
    return {**summary(name, path, lambda _: found), "config": config, **told}


def diversity(path: Path) -> dict[str, Any]:
    """Entropy, effective parents and lost minorities by generation."""
    with PagedReader(path) as reader:
        return {"generations": reader.diversity()}


def prompt(path: Path, place: int, uid: str) -> dict[str, Any]:
    """The prompts of a candidate as they were sent, or why they cannot be told."""
    config = read_run_json(path)["config"]
    try:
        with PagedReader(path) as reader:
            asked = prompts_of(reader, config, place, uid)
    except EvolveError as error:
        return {"asked": [], "why": str(error)}
    return {
        "asked": [
            {
                "purpose": one.address.purpose,
                "exact": one.exact,
                "messages": [
                    {"role": message.role, "content": message.content} for message in one.prompt.messages
                ],
            }
            for one in asked
        ],
        "why": None,
    }


def problems(path: Path, first: int) -> dict[str, Any]:
    """A page of problems: their answers, and their cells of the heat-map."""
    with PagedReader(path) as reader:
        rows, total = reader.page(first, PAGE), reader.count_problems()
        return {"first": first, "page": PAGE, "total": total, "rows": rows, "heat": reader.heat(first, PAGE)}


def problem(path: Path, place: int) -> dict[str, Any]:
    """A problem, its generations and everyone born in it, without texts."""
    with PagedReader(path) as reader:
        body = reader.problem(place)
        verdicts = reader.verdicts(place)
        born = [_candidate(one, verdicts) for one in reader.candidates(place)]
        members = reader.members(place)
        uid, answer = reader.answers().get(place, (None, None))
    shown = {key: body.get(key) for key in ("id", "question", "reference", "grader", "format")}
    shown["pictures"] = [one["url"] for one in body.get("pictures", ())]
    return {
        **shown,
        "grids": _grids(body.get("format"), body["question"]),
        "place": place,
        "answer": answer,
        "uid": uid,
        "candidates": born,
        "generations": [{"generation": generation, "members": uids} for generation, uids in members],
    }


def candidate(path: Path, place: int, uid: str) -> dict[str, Any]:
    """A candidate beside its parents, with all their texts. Raises UserError where there is none of this name."""
    for _, found in candidates(path, place, (uid,)):
        return found
    raise UserError(f"problem {place} has no candidate {uid!r}")


def candidates(path: Path, place: int, wanted: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same of several candidates of a problem, whose texts are read once."""
    with PagedReader(path) as reader:
        body = reader.problem(place)
        verdicts = reader.verdicts(place)
        born = {one.uid: one for one in reader.candidates(place, texts=True)}
        logprobs = {uid: reader.logprobs(place, born[uid]) for uid in wanted if uid in born}
    uids, form = list(born), body.get("format")
    for here, (uid, one) in enumerate(born.items()):
        if uid in wanted:
            parents = [_with_text(born[name], verdicts, form) for name in one.parents if name in born]
            yield (
                uid,
                {
                    "problem": body["id"],
                    "place": place,
                    "program": form == "code",
                    "logprobs": logprobs[uid],
                    "previous": uids[here - 1] if here else None,
                    "next": uids[here + 1] if here + 1 < len(uids) else None,
                    "candidate": _with_text(one, verdicts, form),
                    "parents": parents,
                },
            )


def _with_text(one: Candidate, verdicts: Mapping[str | None, Verdict], form: str | None) -> dict[str, Any]:
    texts = {"text": one.text, "thinking": one.reasoning, "grids": _grids(form, one.answer)}
    return _candidate(one, verdicts) | texts


def _grids(form: str | None, text: str | None) -> list[list[list[int]]]:
    """The grids of colours in a text, where its format knows such: at most GRIDS, cut to SIDE by SIDE cells."""
    if form is None or text is None or form not in registry.available("answer format"):
        return []
    pictures = registry.load("answer format", form).pictures
    found = pictures(text) if pictures is not None else []
    return [[list(row[:SIDE]) for row in one.rows[:SIDE]] for one in found[:GRIDS]]


def _candidate(one: Candidate, verdicts: Mapping[str | None, Verdict]) -> dict[str, Any]:
    verdict = None if one.failed else verdicts.get(one.answer)
    return {
        "uid": one.uid,
        "generation": one.generation,
        "slot": one.slot,
        "operator": one.operator,
        "parents": list(one.parents),
        "status": one.status.value,
        "reason": one.reason,
        "answer": one.answer,
        "class": one.answer_class,
        "grade": verdict.grade.value if verdict else None,
        "rule": verdict.rule if verdict else None,
        "detail": verdict.detail if verdict else None,
        "prompt_tokens": one.prompt_tokens,
        "completion_tokens": one.completion_tokens,
        "copied": one.copied,
    }
