"""LiveCodeBench, HumanEval and MBPP from local files; pickles that are not executed; what to do without the hub."""

import base64
import gzip
import json
import pickle
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from evolve_llm_problems.code import pickled
from evolve_llm_problems.code.livecodebench import _files

from evolve_llm import evolve
from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.formats import last_code_block
from evolve_llm.scheme.preset import Preset
from evolve_llm.scheme.problem_sets import load_problems
from evolve_llm.testing import run_directory

HUMANEVAL = {
    "task_id": "X/0",
    "prompt": 'def add(a, b):\n    """The sum."""\n',
    "entry_point": "add",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
}
MBPP = {"task_id": 11, "text": "Add.", "test_list": ["assert add(1, 2) == 3"], "test_setup_code": ""}


@pytest.fixture
def livecodebench(lookalikes: ModuleType, tmp_path: Path) -> Path:
    rows = [row for row, _, _ in lookalikes.rows()]
    rows[3] |= {"difficulty": "hard", "contest_date": "2024-01-01T00:00:00"}
    path = tmp_path / "test.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in reversed(rows)), encoding="utf-8")
    return path


def test_rows_come_in_order_of_their_ids_and_can_be_chosen(livecodebench: Path) -> None:
    found = load_problems(f"livecodebench:{livecodebench}")
    assert [one.id for one in found] == sorted(one.id for one in found)
    assert len(found) == 22
    for option, count in {
        "difficulty=hard": 1,
        "platform=leetcode": 10,
        "platform=leetcode,atcoder": 22,
        "end=2024-12-31": 1,
        "start=2025-01-04": 21,
    }.items():
        assert len(load_problems(f"livecodebench:{livecodebench}?{option}")) == count
    assert load_problems(f"livecodebench:{livecodebench}?grader=lcb")[0].grader == "lcb"


def test_private_tests_stay_in_the_reference(livecodebench: Path) -> None:
    one = load_problems(f"livecodebench:{livecodebench}")[-1].public()
    hidden = pickled.unpacked(load_problems(f"livecodebench:{livecodebench}")[-1].reference["private"])
    assert hidden
    shown = json.dumps([one.question, dict(one.metadata)])
    assert all(json.dumps(test["input"])[1:-1] not in shown for test in hidden)


def test_versions() -> None:
    assert len(_files("release_v6")) == 6
    assert _files("v6") == ("test6.jsonl",)
    with pytest.raises(UserError, match="release_v6 has 1,055"):
        _files("v7")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_text_is_read(protocol: int) -> None:
    text = '[{"input": "é", "output": "2"}]'
    assert pickled.the_text(pickle.dumps(text, protocol)) == text


class Runs:
    def __reduce__(self) -> Any:
        return (sys.exit, ("executed",))


@pytest.mark.parametrize("value", [Runs(), ["text"], b"bytes", ("a", "b"), 5, None, {"a": "b"}])
def test_a_pickle_of_anything_else_is_refused_and_never_executed(value: Any) -> None:
    packed = base64.b64encode(zlib.compress(pickle.dumps(value))).decode()
    with pytest.raises(ValueError, match="pickle"):
        pickled.unpacked(packed)


def test_bombs_and_damage_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled, "LARGEST", 1000)
    for cell in (
        base64.b64encode(zlib.compress(b"x" * 10**6)).decode(),
        base64.b64encode(zlib.compress(pickle.dumps("[]"))[:-3]).decode(),
        base64.b64encode(zlib.compress(b"\x80\x04")).decode(),
        "[" * 100_000,
        '{"a": 1}',
        "???",
        "",
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - each says something else
            pickled.unpacked(cell)


@pytest.mark.parametrize("name", ["livecodebench", "humaneval", "mbpp"])
def test_other_columns_and_an_unreachable_hub_say_what_to_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"a": 1}\n', encoding="utf-8")
    with pytest.raises(UserError, match="column"):
        load_problems(f"{name}:{path}")
    path.write_text("{\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 1 is not valid JSON"):
        load_problems(f"{name}:{path}")
    hub = ModuleType("huggingface_hub")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("offline")

    hub.hf_hub_download = refuse  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(UserError, match=rf"offline.*{name}:FILE"):
        load_problems(name)


@pytest.mark.parametrize(
    ("spec", "row", "asked"),
    [
        ("humaneval", HUMANEVAL, ["openai/openai_humaneval openai_humaneval/test-00000-of-00001.parquet"]),
        ("mbpp", MBPP, ["google-research-datasets/mbpp full/test-00000-of-00001.parquet"]),
        (
            "mbpp?version=sanitized",
            {"task_id": 11, "prompt": "Add.", "test_imports": [], "test_list": MBPP["test_list"]},
            ["google-research-datasets/mbpp sanitized/test-00000-of-00001.parquet"],
        ),
        (
            "mbpp?split=all",
            MBPP,
            [
                f"google-research-datasets/mbpp full/{part}-00000-of-00001.parquet"
                for part in ("train", "validation", "test", "prompt")
            ],
        ),
    ],
)
def test_the_parquet_files_of_the_hub(
    spec: str, row: dict[str, Any], asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "test-00000-of-00001.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([row]), path)
    wanted = []
    hub = ModuleType("huggingface_hub")

    def download(repository: str, file: str, repo_type: str) -> str:
        assert repo_type == "dataset"
        wanted.append(f"{repository} {file}")
        return str(path)

    hub.hf_hub_download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    found = load_problems(spec, limit=1) if len(asked) == 1 else None
    if found is None:
        with pytest.raises(UserError, match="mbpp/11"):  # four times the same row here
            load_problems(spec)
    assert wanted == asked
    (local,) = load_problems(f"{spec.partition('?')[0]}:{path}")
    assert found is None or found[0] == local


@pytest.mark.sandbox
@pytest.mark.parametrize("name", ["livecodebench", "humaneval", "mbpp"])
def test_a_run_from_a_local_file(name: str, livecodebench: Path, tmp_path: Path) -> None:
    path = livecodebench
    if name == "humaneval":
        path = tmp_path / "h.jsonl.gz"
        path.write_bytes(gzip.compress(json.dumps(HUMANEVAL).encode()))
    elif name == "mbpp":
        path = tmp_path / "m.jsonl"
        path.write_text(json.dumps(MBPP), encoding="utf-8")
    problems = load_problems(f"{name}:{path}", limit=1)
    preset = {"name": "t", "population": 3, "parents": 2, "generations": 2, "vary": "aggregate"}
    with run_directory() as out:
        assert evolve(problems, Preset.from_plain(preset), "scripted", out=out).complete


def test_code_is_the_last_complete_block() -> None:
    assert last_code_block("```python\na\n```\ntext\n```\nb\n```") == "b"
    assert last_code_block("```py\na\n```\nwhich prints\n```text\n5\n```") == "a"
    assert last_code_block("```\na\n```\nand\n```python\nhalf") is None  # cut inside the block
    assert last_code_block("```python\nlost\n```python\na\n```") == "a"
    assert last_code_block("````python\ns = '''\n```\n'''\n````") == "s = '''\n```\n'''"
    assert last_code_block("~~~\na\n~~~") == "a"
    assert last_code_block("no code") is None
