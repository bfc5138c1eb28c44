"""AIME and HMMT: one content from the hub and from a file; offline, a way out."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.problem_sets import load_problems

HUB = [{"problem_idx": 1, "problem": "Find $1+1$.", "answer": 2, "problem_type": ["Algebra"]}]
FILE = {
    "problem_idx": 1,
    "prompt": [{"role": "user", "content": "Find $1+1$. Put your final answer within \\boxed{}."}],
    "reward_model": {"ground_truth": "2"},
}


def _hub(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    module = ModuleType("datasets")

    def load_dataset(repository: str, split: str) -> Any:
        assert (repository, split) == ("MathArena/aime_2025", "train")
        if isinstance(answer, Exception):
            raise answer
        return answer

    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_hub_and_file_give_the_same_problems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "copy.jsonl"
    path.write_text(json.dumps(FILE) + "\n")
    _hub(monkeypatch, HUB)

    from_hub = load_problems("aime25")

    assert from_hub == load_problems(f"aime25:{path}") == load_problems(f"aime25?path={path}")
    assert (from_hub[0].id, from_hub[0].format, from_hub[0].grader) == ("aime25/1", "boxed", "math")
    assert from_hub[0].question == "Find $1+1$."


def test_offline_the_message_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _hub(monkeypatch, ConnectionError("no route"))
    with pytest.raises(UserError, match=r"no route.*aime25:FILE"):
        load_problems("aime25")


def test_without_the_library_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"evolve-llm\[problems\].*hmmt25:FILE"):
        load_problems("hmmt25")


def test_a_copy_without_answers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "copy.jsonl"
    path.write_text('{"problem": "x"}\n')
    with pytest.raises(UserError, match="has no answer"):
        load_problems(f"aime25:{path}")
