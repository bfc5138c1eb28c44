"""The fruit flies: the tiny models that this package carries, run by the embedded llama.cpp.

They know the problem set ``locks`` and nothing else: 27 characters, each a token. ``fly-hard`` was trained for less,
on locks whose hint is right less often (``locks?laziness=0.5``), so that RSA ends well below 1. How each was made and
what it can show stands in its model card beside the weights.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field

from evolve_llm.backends.llama_cpp.backend import CacheType, LlamaCpp, LlamaCppOptions
from evolve_llm.backends.options import read_options
from evolve_llm.nouns.errors import BackendError, RequestError, UserError
from evolve_llm.nouns.request import Completion, Prompt, Request

FILE_NAME = "fly.gguf"
SUMS_NAME = "SHA256SUMS"
VOCABULARY = frozenset("0123456789abcdefABCDEF<>|;.")
_MODELS = Path(str(files("evolve_llm"))) / "models"
SHIPPED: Mapping[str, Path] = {name: _MODELS / name for name in ("fly", "fly-hard")}
"""The folder of each fly that ships, by its name as a model."""
FOLDER = SHIPPED["fly"]


class FlyOptions(LlamaCppOptions):
    """As for any file, with sizes that suit a model of a million parameters, computed in float32 throughout.

    The defaults are the fastest of experiments/fruit_fly/SPEED.md: a second thread waits more than it works.
    """

    n_parallel: int = Field(default=16, ge=1, le=256, description="slots: requests generated at once")
    context_length: Literal[512] = Field(
        default=512, description="window of one slot: what it was built with"
    )
    cache_type_k: CacheType = Field(default="f32", description="number format of the keys in the KV cache")
    cache_type_v: CacheType = Field(default="f32", description="number format of the values in the KV cache")
    n_threads: int | None = Field(
        default=1, ge=1, description="CPU threads; none: the cores this process may use"
    )
    flash_attention: bool | None = Field(
        default=False, description="attention in one pass, which copies an f32 cache as f16 for every token"
    )
    cache_ram: int = Field(
        default=0, ge=0, description="MiB of memory for prefixes that left their slot; 0: none"
    )


class Fly(LlamaCpp):
    """The embedded engine, which says so when it is asked what the fly has no letters for."""

    streams = False  # a whole window takes less than half a second: nothing is worth cancelling

    async def generate(self, request: Request) -> Completion:
        """Answer in a free slot. Raises RequestError ``bad_request`` for a character outside the vocabulary."""
        fault = outside(request.prompt)
        if fault is not None:
            raise RequestError("bad_request", fault)
        return await super().generate(request)

    async def count_tokens(self, prompt: Prompt) -> int:
        """Exact. Raises UserError for a character outside the vocabulary: before a run has begun."""
        fault = outside(prompt)
        if fault is not None:
            raise UserError(fault)
        return await super().count_tokens(prompt)


def outside(prompt: Prompt) -> str | None:
    """What to say of the first character that the fly does not know, None where it knows them all."""
    for message in prompt.messages:
        for place, character in enumerate(message.content):
            if character not in VOCABULARY:
                return (
                    f"the fly does not know the character {character!r} (place {place + 1} of "
                    f"{message.content[:60]!r}): it is a model for the problem set locks alone, with the characters "
                    f"{''.join(sorted(VOCABULARY))}; for other problems take another model (evolve-llm doctor "
                    "lists what can be had)"
                )
    return None


def shipped(names: Sequence[str], folder: Path = FOLDER) -> Path:
    """The folder of the fly's files, the checksums of those named verified.

    Raises BackendError where a file or its checksum is missing, or they do not agree.
    """
    again = "install evolve-llm again, or train one: experiments/fruit_fly/README.md in the source"
    try:
        lines = (folder / SUMS_NAME).read_text("ascii").splitlines()
        sums = {name: digest for digest, name in map(str.split, lines)}
        found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    except (OSError, ValueError) as error:
        raise BackendError(f"the fly's weights are missing or cannot be read ({error}); {again}") from error
    for name, digest in found.items():
        if digest != sums.get(name):
            raise BackendError(
                f"the fly's weights {folder / name} are damaged: their SHA-256 is {digest[:16]}..., not "
                f"{sums.get(name, '(none given)')[:16]}...; {again}"
            )
    return folder


def shipped_weights(folder: Path = FOLDER) -> Path:
    """The GGUF of this package, its checksum verified. Raises as ``shipped``."""
    return shipped([FILE_NAME], folder) / FILE_NAME


def fly(argument: str = "", **options: object) -> Fly:
    """The fruit fly, a tiny model for digit locks: ``--model fly``, or ``--model fly:FOLDER`` for a trained one.

    A trained fly is known by the checksum of its weights, so that no run goes on with another one. Raises UserError
    for a folder without a fly.
    """
    chosen = read_options(FlyOptions, "fly", options)
    if not argument:
        return Fly(lambda: shipped_weights(SHIPPED["fly"]), name="fly", options=chosen)
    folder = Path(argument).expanduser()
    return Fly(lambda: shipped_weights(folder), name=f"fly:{_known_by(folder)}", options=chosen)


def fly_hard(argument: str = "", **options: object) -> Fly:
    """The fly for the harder ``locks?laziness=0.5``: ``--model fly-hard``. Raises UserError for an argument."""
    chosen = read_options(FlyOptions, "fly-hard", options)
    if argument:
        raise UserError(f"fly-hard takes no argument, got {argument!r}; for a trained fly write fly:FOLDER")
    return Fly(lambda: shipped_weights(SHIPPED["fly-hard"]), name="fly-hard", options=chosen)


def _known_by(folder: Path) -> str:
    """The beginning of the checksum of a trained fly's weights."""
    with contextlib.suppress(OSError, ValueError):
        lines = (folder / SUMS_NAME).read_text("ascii").splitlines()
        sums = {name: digest for digest, name in map(str.split, lines)}
        if FILE_NAME in sums and (folder / FILE_NAME).is_file():
            return sums[FILE_NAME][:12]
    raise UserError(
        f"there is no trained fly in {str(folder)!r} (a folder with {FILE_NAME} and {SUMS_NAME}, as evolve-llm train "
        "makes it from --model fly); for another file of your own, write --model llama_cpp:FILE"
    )
