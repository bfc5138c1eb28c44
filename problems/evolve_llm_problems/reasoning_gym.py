"""Problem sets drawn from Reasoning Gym: ``reasoning_gym:TASK[,TASK...]``, ``rg_games`` and ``rg_cognition``.

Entries are drawn from a seed and are the same in every process, for any ``size`` and ``limit``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem

# The two mixtures of Recursive Self-Aggregation (arXiv 2509.26626), worked out from the authors' 100 + 100
# entries. Games: the library's whole category "games", where the counts (2 to 11) agree with equal weights.
# Cognition: the category "cognition" and arc_1d at equal weights (7 to 18 each), and arc_agi, of which there
# are 2: under equal weights so few have a probability below 0.001.
GAMES = (
    "maze", "futoshiki", "kakurasu", "knight_swap", "tsumego", "rush_hour", "tower_of_hanoi", "survo",
    "puzzle24", "boxnet", "sudoku", "emoji_mystery", "mahjong_puzzle", "countdown", "n_queens",
    "mini_sudoku", "sokoban",
)  # fmt: skip
_COGNITION = (
    "number_sequence", "figlet_font", "arc_1d", "needle_haystack", "rubiks_cube", "modulo_grid",
    "rectangle_count", "color_cube_rotation",
)  # fmt: skip
COGNITION = (*(_COGNITION * 6), "arc_agi")


def reasoning_gym(argument: str = "", *, size: int = 100, seed: int = 0, **config: Any) -> Iterator[Problem]:
    """Problems of Reasoning Gym: ``size`` of them, with the tasks of ``argument`` (TASK,TASK) in turn.

    ``config`` goes to the configuration class of every task named (``min_terms=2`` for chain_sum, say). Ids
    are ``TASK/seedS/I``, with the configuration in between where one is given. The library draws entry I from
    ``seed + I``, so seeds that are to share no question must lie more than ``size`` apart.

    Raises UserError for an unknown task or option, for options a task refuses, and without the library.
    """
    tasks = [task.strip() for task in argument.split(",") if task.strip()]
    if not tasks:
        raise UserError(
            "reasoning_gym needs a task, for example reasoning_gym:chain_sum, or several, for example "
            "reasoning_gym:chain_sum,maze; the mixtures are rg_games and rg_cognition"
        )
    twice = sorted({task for task in tasks if tasks.count(task) > 1})
    if twice:
        raise UserError(f"reasoning_gym:{argument} names {', '.join(map(repr, twice))} more than once")
    return _problems(tasks, size, seed, config)


def games(argument: str = "", *, size: int = 100, seed: int = 0) -> Iterator[Problem]:
    """The paper's mixture of games: 17 tasks in turn. Raises UserError without the library."""
    return _mixture("rg_games", argument, GAMES, size, seed)


def cognition(argument: str = "", *, size: int = 100, seed: int = 0) -> Iterator[Problem]:
    """The paper's mixture of cognition tasks: 8 in turn, and arc_agi once in 49.

    Raises UserError without the library.
    """
    return _mixture("rg_cognition", argument, COGNITION, size, seed)


def _mixture(name: str, argument: str, deck: Sequence[str], size: int, seed: int) -> Iterator[Problem]:
    if argument:
        raise UserError(
            f"{name} takes no argument, got {argument!r}; to choose tasks yourself, write "
            "reasoning_gym:TASK,TASK"
        )
    return _problems(deck, size, seed, {})


def _problems(deck: Sequence[str], size: int, seed: int, config: Mapping[str, Any]) -> Iterator[Problem]:
    if size < 1:
        raise UserError(f"size must be at least 1, got {size}")
    if seed < 0:
        raise UserError(f"seed must be 0 or more, got {seed}")
    if find_spec("reasoning_gym") is None:
        raise UserError('Reasoning Gym is not installed; pip install "evolve-llm[problems]"')
    options = ",".join(f"{key}={json.dumps(value)}" for key, value in sorted(config.items()))
    middle = f"{options}/" if options else ""
    for item in _draw({"deck": list(deck), "size": size, "seed": seed, "config": dict(config)}):
        task, index, entry = item["task"], item["index"], item["entry"]
        yield Problem(
            id=f"{task}/{middle}seed{seed}/{index}",
            question=str(entry["question"]).strip("\n"),
            format="tags",
            grader="reasoning_gym",
            reference={"task": task, "entry": entry},
            metadata={"task": task},
        )


def _draw(asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Entries as they are drawn; the process ends when the caller stops taking them."""
    # -P: the caller's folder may hold a `random.py` or `reasoning_gym` of its own.
    command = [sys.executable, "-P", "-m", "evolve_llm_problems.reasoning_gym_draw"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            try:
                process.stdin.write(json.dumps(asked).encode())
                process.stdin.close()
            except BrokenPipeError:
                pass  # it died at once: the reason is on its stderr, read below
            for line in process.stdout:
                item = json.loads(line)
                if "error" in item:
                    raise UserError(item["error"])
                if "done" in item:
                    return
                yield item
            process.wait()
            errors.seek(0)
            tail = errors.read()[-600:].decode(errors="replace").strip()
            raise UserError(f"Reasoning Gym could not be run (exit status {process.returncode}): {tail}")
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
