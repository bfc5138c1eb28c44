"""One vLLM engine for the tests of a whole file: it lives on a loop of its own thread and is lent out."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from evolve_llm.backends.base import Load
from evolve_llm.backends.vllm.backend import Vllm
from evolve_llm.nouns.errors import BackendError
from evolve_llm.nouns.request import Completion, Message, ModelInfo, Prompt, Request

READY_WITHIN = 600
"""Seconds; about 40 on two idle cores, ten times that on busy ones."""

LETTERS = "0123456789abcdef"

Result = TypeVar("Result")


class Engine:
    """A backend that is started at ``__enter__`` and closed at ``__exit__``."""

    def __init__(self, backend: Vllm) -> None:
        self.backend = backend
        self.info = ModelInfo("not started")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Engine:
        self._thread.start()
        self.info = self.do(self.backend.start(), READY_WITHIN)
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self.backend.close(), 60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)

    def do(self, work: Coroutine[Any, Any, Result], limit: float = 120) -> Result:
        """Run something on the engine's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(limit)

    async def elsewhere(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The same, awaited on another loop; cancelling is passed on."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


class Lent:
    """The engine as a backend of its own, whose start and close cost nothing. Keeps every request it saw."""

    def __init__(self, engine: Engine, wording: Callable[[str], str] = str) -> None:
        self.identity = engine.backend.identity
        self.capacity = engine.backend.capacity
        self.requests: list[Request] = []
        self._engine = engine
        self._wording = wording
        self._open = False

    async def start(self) -> ModelInfo:
        self._open = True
        return self._engine.info

    async def generate(self, request: Request) -> Completion:
        if not self._open:
            raise BackendError("not started")
        self.requests.append(request)
        prompt = self._worded(request.prompt)
        return await self._engine.elsewhere(self._engine.backend.generate(replace(request, prompt=prompt)))

    async def count_tokens(self, prompt: Prompt) -> int:
        return await self._engine.elsewhere(self._engine.backend.count_tokens(self._worded(prompt)))

    async def token_starts(self, text: str) -> Sequence[int] | None:
        return await self._engine.elsewhere(self._engine.backend.token_starts(text))

    async def load(self) -> Load | None:
        return await self._engine.elsewhere(self._engine.backend.load())

    async def close(self) -> None:
        self._open = False

    def _worded(self, prompt: Prompt) -> Prompt:
        return Prompt(tuple(Message(one.role, self._wording(one.content)) for one in prompt.messages))


def in_letters(text: str) -> str:
    """Any text in letters that the fly knows, as long as it was."""
    return "".join(LETTERS[ord(character) % len(LETTERS)] for character in text)


def write_safetensors(path: Path, tensors: Mapping[str, tuple[tuple[int, ...], Sequence[float]]]) -> None:
    """A safetensors file of float32 tensors, by name: shape and values, row by row."""
    header: dict[str, Any] = {}
    data = b""
    for name, (shape, values) in tensors.items():
        packed = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def write_adapter(
    folder: Path,
    *,
    rank: int = 4,
    size: int = 128,
    layers: int = 4,
    modules: tuple[str, ...] = ("q_proj", "v_proj"),
    strength: float = 0.0,
    **config: Any,
) -> Path:
    """A LoRA adapter as PEFT saves it, for attention projections of ``size`` x ``size``; it changes nothing at
    strength 0."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = Random(5)
    tensors = {}
    for layer in range(layers):
        for module in modules:
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            tensors[f"{name}.lora_A.weight"] = ((rank, size), [rng.gauss(0, 1) for _ in range(rank * size)])
            b = [strength * rng.gauss(0, 1) for _ in range(size * rank)]
            tensors[f"{name}.lora_B.weight"] = ((size, rank), b)
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    told = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "target_modules": list(modules),
        "bias": "none",
        "base_model_name_or_path": "fly",
        **config,
    }
    (folder / "adapter_config.json").write_text(json.dumps(told))
    return folder
