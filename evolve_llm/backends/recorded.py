"""A response cache on disk: what a model has answered once is never paid for again.

Two presets with one seed share generation 0 through it, and a recording replays a run without its
model. The file is described in ``response_file``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from evolve_llm.backends.base import Backend, Load, load_of, takes_pictures, token_starts
from evolve_llm.backends.options import Options, read_options
from evolve_llm.backends.response_file import ResponseFile, prompt_key, request_key, text_key
from evolve_llm.backends.tokens import estimate_prompt_tokens
from evolve_llm.basics.once import Once
from evolve_llm.nouns.errors import BackendError, RequestError, UserError
from evolve_llm.nouns.request import Completion, ModelInfo, Prompt, Request

Value = TypeVar("Value")


class Recorded:
    """``inner`` behind the recording at ``path``; without ``inner``, the recording alone.

    A hit gives the completion as it was first stored, token counts included. A miss asks ``inner`` and
    is committed before it is given; the same request asked twice at once asks ``inner`` once.

    Without ``inner`` a request that is not in the recording raises BackendError: the run differs from
    the recorded one, so every later answer would be missing too, and to note failures would falsify
    it. A request that failed when it was recorded fails again, in the same words; with ``inner`` it is
    tried anew.

    ``identity`` and ``capacity`` are those of the recorded model: without ``inner`` they are read from
    the file when first asked for. ``model`` picks one where several were recorded.

    ``hits`` counts answers from the file, ``misses`` questions to ``inner``, ``shared`` answers to those
    who waited for another's question.
    """

    def __init__(self, path: Path | str, inner: Backend | None = None, *, model: str | None = None) -> None:
        self.path = Path(path)
        self.inner = inner
        self.hits = 0
        self.misses = 0
        self.shared = 0
        self._model = model
        self._recorded: tuple[str, ModelInfo, int] | None = None
        self._file: ResponseFile | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._flights: Once[Completion] = Once()

    @property
    def identity(self) -> str:
        """The identity of the model that answers or answered. Raises UserError for a bad file."""
        return self.inner.identity if self.inner is not None else self._replayed()[0]

    @property
    def capacity(self) -> int:
        """The capacity of the model that answers or answered. Raises UserError for a bad file."""
        return self.inner.capacity if self.inner is not None else self._replayed()[2]

    @property
    def pictures(self) -> bool:
        """Whether the model can be shown pictures; a recording answers whatever was asked of it."""
        return self.inner is None or takes_pictures(self.inner)

    async def start(self) -> ModelInfo:
        """Open the file, start ``inner`` and note its model.

        Raises UserError when the file is no recording, and whatever ``inner`` raises.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recorded")
        self._file = await self._in_thread(lambda: ResponseFile(self.path, must_exist=self.inner is None))
        if self.inner is None:
            info = self._replayed()[1]
        else:
            inner, file = self.inner, self._file
            info = await inner.start()
            await self._in_thread(lambda: _note_model(file, inner.identity, info, inner.capacity))
        return replace(info, details={**info.details, "recording": self.path.name})

    async def generate(self, request: Request) -> Completion:
        """The recorded answer, or ``inner``'s. Raises as the class says, and StoreError when the file
        can no longer be read or written."""
        key = request_key(self.identity, request)
        if key in self._flights:
            self.shared += 1
        return await self._flights.run(key, lambda: self._answer(key, request))

    async def count_tokens(self, prompt: Prompt) -> int:
        """``inner``'s count, or the recorded one; without either, an estimate that errs high."""
        file = self._opened()
        key = prompt_key(self.identity, prompt)
        known = await self._in_thread(lambda: file.get_length(key))
        if known is not None:
            return known
        if self.inner is None:
            return estimate_prompt_tokens(prompt)
        tokens = await self.inner.count_tokens(prompt)
        await self._in_thread(lambda: file.put_length(key, tokens))
        return tokens

    async def token_starts(self, text: str) -> Sequence[int] | None:
        """``inner``'s, or the recorded ones; None where neither tells."""
        file = self._opened()
        key = text_key(self.identity, text)
        known = await self._in_thread(lambda: file.get_starts(key))
        if known is not None or self.inner is None:
            return known
        found = await token_starts(self.inner, text)
        if found is not None:
            places = found
            await self._in_thread(lambda: file.put_starts(key, places))
        return found

    async def load(self) -> Load | None:
        """``inner``'s; what is answered from the file loads nothing."""
        return None if self.inner is None else await load_of(self.inner)

    async def close(self) -> None:
        """End questions in progress, close ``inner`` and the file."""
        await self._flights.cancel_all()
        if self.inner is not None:
            await self.inner.close()
        thread, self._thread = self._thread, None
        file, self._file = self._file, None
        if thread is not None:
            if file is not None:
                with contextlib.suppress(RuntimeError):
                    await asyncio.get_running_loop().run_in_executor(thread, file.close)
            thread.shutdown(wait=False)

    async def _answer(self, key: bytes, request: Request) -> Completion:
        file = self._opened()
        found = await self._in_thread(lambda: file.get(key))
        if found is not None:
            self.hits += 1
            return found
        if self.inner is None:
            raise await self._in_thread(lambda: file.get_failure(key)) or self._missing(request)
        self.misses += 1
        try:
            fresh = await self.inner.generate(request)
        except RequestError as error:
            failure = error
            await self._in_thread(lambda: file.put_failure(key, failure))
            raise
        return await self._in_thread(lambda: file.put(key, fresh))

    def _missing(self, request: Request) -> BackendError:
        return BackendError(
            f"the recording {self.path} holds no answer to request {request.id} (seed {request.seed}). The "
            "preset, problems, prompts, sampling or seed differ from those of the recorded run, or that "
            f"run was not finished. To continue with a model, name one and add --cache {self.path}"
        )

    def _opened(self) -> ResponseFile:
        if self._file is None:
            raise BackendError("the recorded backend is not started (or already closed)")
        return self._file

    async def _in_thread(self, work: Callable[[], Value]) -> Value:
        if self._thread is None:
            raise BackendError("the recorded backend is not started (or already closed)")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _replayed(self) -> tuple[str, ModelInfo, int]:
        if self._recorded is None:
            file = ResponseFile(self.path, must_exist=True)
            try:
                self._recorded = _chosen_model(self.path, file.models(), self._model)
            finally:
                file.close()
        return self._recorded


def _note_model(file: ResponseFile, identity: str, info: ModelInfo, capacity: int) -> None:
    """Note the model, unless its name stood for another file when its answers were recorded."""
    before = file.models().get(identity)
    if before is not None:
        old, new = before[0].details.get("fingerprint"), info.details.get("fingerprint")
        if old is not None and new is not None and old != new:
            raise UserError(
                f"{file.path} holds answers of another model called {identity} (fingerprint {old[:12]}, now "
                f"{new[:12]}); name another recording or rename the model file"
            )
    file.put_model(identity, info, capacity)


def _chosen_model(
    path: Path, models: dict[str, tuple[ModelInfo, int]], wanted: str | None
) -> tuple[str, ModelInfo, int]:
    if not models:
        raise UserError(
            f"the recording {path} holds no answers; make one with --cache and a model that answers"
        )
    listed = ", ".join(models)
    if wanted is None and len(models) > 1:
        raise UserError(
            f"the recording {path} holds several models; choose one with --set engine.model=…: {listed}"
        )
    identity = wanted if wanted is not None else next(iter(models))
    if identity not in models:
        raise UserError(f"the recording {path} has no model {identity!r}; it has: {listed}")
    info, capacity = models[identity]
    return identity, info, capacity


class RecordedOptions(Options):
    """What ``--set engine.KEY=VALUE`` understands for ``recorded:FILE``."""

    model: str | None = Field(
        default=None, description="identity of the model to replay where several are recorded"
    )


def recorded(argument: str = "", **options: object) -> Recorded:
    """The answers that ``--cache FILE`` has recorded: ``--model recorded:FILE``. Raises UserError without a file."""
    chosen = read_options(RecordedOptions, "recorded", options)
    if not argument:
        raise UserError(
            "the backend recorded needs the file of a recording: --model recorded:FILE (made with --cache "
            "FILE)"
        )
    return Recorded(argument, model=chosen.model)
