"""The fly as a backend that samples in large batches: for studies that ask it a hundred thousand times.

This gathers the requests that wait on the event loop, groups those whose prompts are equally long, and samples each
group in a thread with ``sampling.py``.

    from batched import batched_fly
    evolve("locks?size=200", preset="fly", model=batched_fly())
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from bundles import CHARACTERS, VOCABULARY
from sampling import END, Network, Sampled, Shared, load_fly, sample_rows

from evolve_llm.backends.base import Backend, Load
from evolve_llm.nouns.errors import BackendError, RequestError, UserError
from evolve_llm.nouns.request import Completion, FinishReason, ModelInfo, Prompt, Request

SHIPPED = Path(__file__).parents[2] / "evolve_llm" / "models" / "fly" / "model.safetensors"
_TEXT = [token if token in CHARACTERS else "" for token in VOCABULARY]  # <pad> and unused tokens are no text


def batched_fly(
    weights: str | Path | None = None, threads: int = 1, *, batch: int = 64, capacity: int = 2048
) -> Backend:
    """The fly, or other weights of its kind.

    ``weights``: a ``.safetensors`` file, a ``.pt`` file of ``train.py``, or a folder with ``model.safetensors`` or
    ``fly.pt``; by default the fly that ships. ``threads`` of torch; ``batch`` rows are sampled at once, and
    ``capacity`` requests may wait. Raises UserError where there are no weights.
    """
    return BatchedFly(_file(Path(weights) if weights is not None else SHIPPED), threads, batch, capacity)


def _file(path: Path) -> Path:
    tried = [path, path / "model.safetensors", path / "fly.pt"]
    for one in tried:
        if one.is_file():
            return one
    raise UserError(f"no weights at {path}; give a .safetensors or .pt file, or a folder that holds one")


def _keep_memory() -> None:
    """Tell glibc to keep what is freed, where it is the C library: tensors come and go thousands of times a second."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


_Waiting = tuple[Request, str, "asyncio.Future[Completion]"]


class BatchedFly:
    """See `batched_fly`. One batch runs at a time: always the largest group, of which the oldest come first."""

    def __init__(self, path: Path, threads: int = 1, batch: int = 64, capacity: int = 2048) -> None:
        if min(threads, batch, capacity) < 1:
            raise UserError("threads, batch and capacity must be at least 1")
        self.identity = f"batched_fly:{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        self.capacity = capacity
        self.batches = 0
        self._path, self._threads, self._batch = path, threads, batch
        self._groups: dict[Shared, list[_Waiting]] = defaultdict(list)
        self._running: list[_Waiting] = []
        self._net: Network | None = None
        self._arrived = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def start(self) -> ModelInfo:
        """Load the weights. Raises BackendError where they are none of a fly."""
        self._thread = ThreadPoolExecutor(1, "fly", torch.set_num_threads, (self._threads,))
        try:
            _keep_memory()
            loop = asyncio.get_running_loop()
            self._net = await loop.run_in_executor(self._thread, lambda: Network(load_fly(self._path)))
        except Exception as error:
            raise BackendError(f"{self._path} holds no fly: {error}") from error
        self._arrived = asyncio.Event()
        self._work = asyncio.create_task(self._serve())
        return ModelInfo(
            self.identity,
            self._net.shape.max_position_embeddings,
            {
                "engine": "experiments/fruit_fly/batched.py",
                "torch": str(torch.__version__),
                "dtype": "float32",
            },
        )

    async def generate(self, request: Request) -> Completion:
        """Answer in one of the next batches. Raises RequestError ``context_overflow`` and ``bad_request``
        (characters it does not have, top_p, top_k, min_p, stop), BackendError when it is not running."""
        if self._net is None or self._work is None or self._work.done():
            raise BackendError("the batched fly is not started (or already closed)")
        text, asked = _text(request.prompt), request.sampling
        if asked.top_p != 1 or asked.top_k or asked.min_p or asked.stop:
            raise RequestError("bad_request", "the batched fly samples by temperature alone")
        strange = set(text) - set(CHARACTERS)
        if strange or not text:
            raise RequestError(
                "bad_request", f"the fly has no {sorted(strange)[:5]}" if strange else "empty prompt"
            )
        room = min(asked.max_tokens, self._net.shape.max_position_embeddings - len(text))
        if room < 1:
            raise RequestError("context_overflow", f"{len(text)} prompt tokens")
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        shared = Shared(len(text), room, asked.temperature, request.logprobs)
        self._groups[shared].append((request, text, future))
        self._arrived.set()
        return await future

    async def count_tokens(self, prompt: Prompt) -> int:
        """Exact: one token a character."""
        return len(_text(prompt))

    async def token_starts(self, text: str) -> Sequence[int]:
        """Every character is a token."""
        return range(len(text))

    async def load(self) -> Load:
        """Rows of the batch that runs, and requests that wait for another."""
        return Load(len(self._running), self._waiting)

    async def close(self) -> None:
        """End the worker and drop what waits."""
        work, thread, self._work, self._thread = self._work, self._thread, None, None
        if work is not None:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
        if thread is not None:
            thread.shutdown(wait=True)
        self._net = None

    @property
    def _waiting(self) -> int:
        return sum(map(len, self._groups.values()))

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._arrived.wait()
                before = -1
                while before != (before := self._waiting):  # as long as more arrive, wait for them
                    await asyncio.sleep(0.001)
                shared = max(self._groups, key=lambda key: len(self._groups[key]))
                self._running = self._take(shared)
                if self._running:
                    prompts = [text for _, text, _ in self._running]
                    seeds = [request.seed for request, _, _ in self._running]
                    self.batches += 1
                    try:
                        rows = await loop.run_in_executor(
                            self._thread, sample_rows, self._net, prompts, seeds, shared
                        )
                    except Exception as error:
                        for _, _, future in self._running:
                            if not future.done():
                                future.set_exception(BackendError(f"the batched fly failed: {error!r}"))
                        continue
                    for (_, _, future), row in zip(self._running, rows, strict=True):
                        if not future.done():
                            future.set_result(_completion(row, shared))
                self._running = []
        finally:
            for waiting in [*self._groups.values(), self._running]:
                for _, _, future in waiting:
                    future.cancel()
            self._groups.clear()

    def _take(self, shared: Shared) -> list[_Waiting]:
        """The oldest requests of a group that nobody has given up meanwhile, at most a batch."""
        group = [one for one in self._groups.pop(shared) if not one[2].done()]
        if len(group) > self._batch:
            self._groups[shared] = group[self._batch :]
        if not self._groups:
            self._arrived.clear()
        return group[: self._batch]


def _text(prompt: Prompt) -> str:
    """The messages one after the other: the fly's chat template."""
    return "".join(message.content for message in prompt.messages)


def _completion(row: Sampled, shared: Shared) -> Completion:
    tokens, logprobs = row
    ended = tokens[-1] == END
    finish: FinishReason = "stop" if ended else "length"
    return Completion(
        "".join(_TEXT[token] for token in tokens),
        finish,
        prompt_tokens=shared.prompt,
        completion_tokens=len(tokens),
        logprobs=tuple(logprobs),
    )
