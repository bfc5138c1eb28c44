"""Draws Reasoning Gym entries in a process of its own: JSON on stdin, one JSON line per entry out.

Why a process: several generators (knight_swap, word_ladder, isomorphic_strings, ransom_note,
polynomial_multiplication in reasoning-gym 0.1.25) iterate over sets of strings, so what they draw depends
on the interpreter's hash seed and differs from one start of Python to the next. The caller starts this
module with ``PYTHONHASHSEED=0``. The library's imports stay out of the machine's process as well.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from evolve_llm.basics.nearest import did_you_mean
from evolve_llm_problems.reasoning_gym_entries import jsonable

# Some generators (acre) lay out the whole set at once, so an entry depends on the set's size. Every set is
# declared this large, or the next power of two: then an entry is the same for every size up to that.
DECLARED_SIZE = 512


class _RefusedError(Exception):
    """What the user asked for cannot be drawn; the text is the message."""


def _dataset(task: str, seed: int, size: int, config: dict[str, Any]) -> Any:
    from reasoning_gym.factory import DATASETS, create_dataset

    names = sorted(set(DATASETS) - {"composite"})
    if task not in names:
        raise _RefusedError(
            f"unknown Reasoning Gym task {task!r}.{did_you_mean(task, names)} Available: {', '.join(names)}"
        )
    fields = {field.name for field in dataclasses.fields(DATASETS[task][1])} - {"size", "seed"}
    for key in config:
        if key not in fields:
            raise _RefusedError(
                f"the Reasoning Gym task {task!r} has no option {key!r}.{did_you_mean(key, sorted(fields))} "
                f"Available: {', '.join(sorted(fields))}"
            )
    try:
        return create_dataset(task, seed=seed, size=size, **config)
    except Exception as error:  # config classes raise whatever their own checks meet first
        given = ", ".join(f"{key}={value!r}" for key, value in config.items()) or "(defaults)"
        raise _RefusedError(
            f"the Reasoning Gym task {task!r} refuses its options {given}: {error or type(error).__name__}"
        ) from error


def draw(deck: list[str], size: int, seed: int, config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield ``{"task", "index", "entry"}``: entry i is of task ``deck[i % len(deck)]``.

    The index counts within the task, so what entry i holds does not depend on ``size``.
    """
    declared = max(DECLARED_SIZE, 1 << (size - 1).bit_length())
    datasets = {task: _dataset(task, seed, declared, config) for task in dict.fromkeys(deck)}
    counts = dict.fromkeys(datasets, 0)
    for position in range(size):
        task = deck[position % len(deck)]
        index = counts[task]
        counts[task] += 1
        try:
            entry = datasets[task][index]
        except Exception as error:  # a generator fails in its own ways under unusual options
            raise _RefusedError(
                f"the Reasoning Gym task {task!r} cannot draw entry {index} with these options: "
                f"{error or type(error).__name__}"
            ) from error
        yield {"task": task, "index": index, "entry": jsonable(entry)}


def _main(out: TextIO) -> None:
    asked = json.load(sys.stdin)
    try:
        for item in draw(asked["deck"], asked["size"], asked["seed"], asked["config"]):
            out.write(json.dumps(item) + "\n")
            out.flush()
        out.write(json.dumps({"done": True}) + "\n")
    except _RefusedError as error:
        out.write(json.dumps({"error": str(error)}) + "\n")
    out.flush()


if __name__ == "__main__":
    # Some generators print: keep the pipe for entries alone and send their prints to stderr.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as pipe:
        os.dup2(2, 1)
        _main(pipe)
