"""The embedded engine: llama.cpp in this process, through ``xllamacpp``.

In this process rather than in a child: what can bring the process down from C++ (a batch smaller than
the number of slots) is refused beforehand, what remains (running out of memory) would lose only what is
in flight, since every completion is stored before anything depends on it, and a child would add a
protocol, a second life cycle and orphans. Three habits of the library are undone here:

- it takes over SIGINT and SIGTERM, so Ctrl-C would end the engine and not the run: the handlers are put back;
- its OpenMP threads spin while they wait, which costs a factor of ten beside another busy process;
- it always listens on a loopback port, which cannot be turned off: every start draws a random port and a
  random key, without which the port answers only ``/health`` and the model's name. We use it ourselves
  for the exact token counts that the bindings do not offer.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import http.client
import importlib
import importlib.metadata
import json
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from evolve_llm.backends.llama_cpp import weights
from evolve_llm.backends.llama_cpp.wire import chat_body, read_chunks
from evolve_llm.backends.messages import chat_messages
from evolve_llm.backends.openai.tokens import NONSENSE, LlamaCppTokenizer
from evolve_llm.backends.options import Options, read_options
from evolve_llm.nouns.errors import BackendError, RequestError, UserError
from evolve_llm.nouns.request import Completion, ModelInfo, Prompt, Request

CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]

_SIGACTION_BYTES = 512
"""More than ``struct sigaction`` has anywhere (152 on 64-bit Linux, 16 on macOS)."""


class LlamaCppOptions(Options):
    """What ``--set engine.KEY=VALUE`` understands for ``local`` and ``llama_cpp:FILE``."""

    n_parallel: int = Field(default=8, ge=1, le=256, description="slots: requests generated at once")
    context_length: int = Field(
        default=4096, ge=64, description="window of one slot in tokens, prompt and completion"
    )
    n_batch: int = Field(default=2048, ge=1, description="most tokens of one step, over all slots")
    n_ubatch: int = Field(default=512, ge=1, description="most tokens of one pass through the network")
    n_threads: int | None = Field(
        default=None, ge=1, description="CPU threads; none: the cores this process may use"
    )
    n_gpu_layers: int = Field(default=-1, ge=-1, description="layers on the GPU; -1: llama.cpp decides")
    cache_type_k: CacheType = Field(default="f16", description="number format of the keys in the KV cache")
    cache_type_v: CacheType = Field(default="f16", description="number format of the values in the KV cache")
    cache_ram: int = Field(
        default=512, ge=0, description="MiB of memory for prefixes that left their slot; 0: none"
    )
    flash_attention: bool | None = Field(
        default=None,
        description="attention in one pass, which reads an f32 cache as f16; none: llama.cpp decides",
    )
    verbose: bool = Field(default=False, description="llama.cpp's own log on standard error")

    @model_validator(mode="after")
    def _a_batch_holds_every_slot(self) -> LlamaCppOptions:
        if self.n_batch < self.n_parallel:
            raise ValueError(
                f"n_batch={self.n_batch} is smaller than n_parallel={self.n_parallel}, but every slot needs "
                "a token of the batch; raise n_batch or lower n_parallel"
            )
        return self

    @model_validator(mode="after")
    def _packed_values_need_flash_attention(self) -> LlamaCppOptions:
        if self.flash_attention is False and self.cache_type_v.startswith("q"):
            raise ValueError(
                f"cache_type_v={self.cache_type_v} works only with flash attention; leave out "
                "flash_attention=false, or choose f32, f16 or bf16"
            )
        return self


class LlamaCpp:
    """A GGUF file served by llama.cpp with continuous batching over ``n_parallel`` slots.

    ``path`` may be a function that finds the file: it is called at the start, in a thread.
    """

    streams = True
    """Whether answers come token by token: only so can one be cancelled, at some 0.1 ms of CPU a token."""

    def __init__(
        self,
        path: Path | Callable[[], Path],
        *,
        name: str,
        options: LlamaCppOptions | None = None,
    ) -> None:
        self.options = options or LlamaCppOptions()
        self.identity = f"llama_cpp:{name}"
        self.capacity = self.options.n_parallel
        self._path = path
        self._engine: Any = None
        self._address = ""
        self._key = ""
        self._slots: ThreadPoolExecutor | None = None
        self._side: ThreadPoolExecutor | None = None
        self._stops: set[threading.Event] = set()

    async def start(self) -> ModelInfo:
        """Load the model. Raises UserError for a file that is none or a missing engine, BackendError when
        the weights cannot be had or llama.cpp refuses them."""
        self._side = ThreadPoolExecutor(2, thread_name_prefix="llama_cpp-side")
        info = await asyncio.get_running_loop().run_in_executor(self._side, self._load)
        self._slots = ThreadPoolExecutor(self.capacity, thread_name_prefix="llama_cpp")
        return info

    async def generate(self, request: Request) -> Completion:
        """Answer in a free slot. Raises RequestError ``context_overflow``, ``bad_request``,
        ``malformed_response`` or ``server_error``.

        When cancelled, the slot is free after the token (or the prompt) it is working on; after the whole
        answer where the class does not stream.
        """
        if self._slots is None or self._engine is None:
            raise BackendError("the embedded engine is not started (or already closed)")
        stop = threading.Event()
        self._stops.add(stop)
        body = chat_body(request, stream=self.streams)
        work = self._slots.submit(_generate, self._engine, body, stop)
        work.add_done_callback(lambda _: self._stops.discard(stop))
        try:
            return await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            stop.set()
            raise

    async def count_tokens(self, prompt: Prompt) -> int:
        """Exact: the chat template and the tokenizer of the model itself, on a thread of its own."""
        if self._side is None or self._engine is None:
            raise BackendError("the embedded engine is not started (or already closed)")
        body = {"messages": chat_messages(prompt)}
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._side, self._post, "/v1/messages/count_tokens", body)
        try:
            return int(answer["input_tokens"])
        except (KeyError, TypeError, ValueError):
            raise RequestError("bad_request", f"the prompt cannot be counted: {answer}") from None

    async def token_starts(self, text: str) -> Sequence[int] | None:
        """Where each token of a text starts, in characters; None where the pieces are not the text."""
        if self._side is None or self._engine is None:
            raise BackendError("the embedded engine is not started (or already closed)")
        loop, side = asyncio.get_running_loop(), self._side

        async def post(path: str, body: Mapping[str, Any]) -> str:
            return json.dumps(await loop.run_in_executor(side, self._post, path, body))

        try:
            return await LlamaCppTokenizer().starts(post, text)
        except NONSENSE:
            return None

    async def close(self) -> None:
        """End what is being generated, then the engine and its threads."""
        for stop in tuple(self._stops):
            stop.set()
        slots, self._slots = self._slots, None
        side, self._side = self._side, None
        if side is not None:
            with contextlib.suppress(RuntimeError):
                await asyncio.get_running_loop().run_in_executor(side, self._unload, slots)
            side.shutdown(wait=False)

    def _load(self) -> ModelInfo:
        path = self._path() if callable(self._path) else self._path
        weights.check_gguf(path)
        library = import_engine()
        self._key = secrets.token_urlsafe(32)
        parameters = engine_parameters(library, path, self.options, self._key)
        with signals_kept():
            try:
                self._engine = library.Server(parameters)
            except RuntimeError as error:
                raise BackendError(_refused(path, self.options)) from error
        self._address = str(self._engine.listening_address)
        properties = self._get("/props")
        window = int(properties.get("default_generation_settings", {}).get("n_ctx", 0))
        return ModelInfo(
            self.identity.partition(":")[2],
            window or self.options.context_length,
            {
                "engine": f"llama.cpp through xllamacpp {importlib.metadata.version('xllamacpp')}",
                "file": path.name,
                "fingerprint": weights.fingerprint(path),
                "quantization": str(properties.get("model_ftype", "unknown")),
                "slots": str(self.options.n_parallel),
            },
        )

    def _unload(self, slots: ThreadPoolExecutor | None) -> None:
        if slots is not None:
            slots.shutdown(wait=True, cancel_futures=True)
        self._engine = None  # the last reference: its destructor joins the engine's threads

    def _get(self, path: str) -> dict[str, Any]:
        return self._http("GET", path, None)

    def _post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        return self._http("POST", path, json.dumps(body))

    def _http(self, method: str, path: str, body: str | None) -> dict[str, Any]:
        place = urlsplit(self._address)
        connection = http.client.HTTPConnection(place.hostname or "127.0.0.1", place.port, timeout=120)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            answer = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise BackendError(f"the embedded engine no longer answers: {error}") from error
        finally:
            connection.close()
        return answer if isinstance(answer, dict) else {}


def _generate(engine: Any, body: dict[str, object], stop: threading.Event) -> Completion:
    """One request, blocking its thread. ``stop`` ends it at the next token where it streams."""
    chunks: list[Any] = []

    def receive(chunk: Any) -> bool:
        chunks.append(chunk)
        return stop.is_set()

    if stop.is_set():
        raise RequestError("server_error", "cancelled before it began")
    try:
        if body["stream"]:
            engine.handle_chat_completions(body, receive)
        else:
            chunks.append(engine.handle_chat_completions(body))
    except ValueError as error:
        raise RequestError("bad_request", str(error)) from error
    except RuntimeError as error:
        raise RequestError("server_error", str(error)) from error
    return read_chunks(chunks)


def import_engine() -> Any:
    """The module ``xllamacpp``, imported so that its idle threads sleep.

    Raises UserError with the line that installs it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return importlib.import_module("xllamacpp")
    except ImportError as error:
        raise UserError(
            f'the embedded engine is not installed ({error}): pip install "evolve-llm[local]", '
            "or use a server with --model openai:NAME --base-url URL"
        ) from error


def engine_parameters(library: Any, path: Path, options: LlamaCppOptions, key: str) -> Any:
    """llama.cpp's parameters. Its ``n_ctx`` is the sum over the slots."""
    parameters = library.CommonParams()
    parameters.model.path = str(path)
    parameters.n_parallel = options.n_parallel
    parameters.n_ctx = options.n_parallel * options.context_length
    parameters.n_batch = options.n_batch
    parameters.n_ubatch = min(options.n_ubatch, options.n_batch)
    parameters.n_gpu_layers = options.n_gpu_layers
    parameters.cache_type_k = _cache_type(library, options.cache_type_k)
    parameters.cache_type_v = _cache_type(library, options.cache_type_v)
    parameters.cache_ram_mib = options.cache_ram
    kinds = library.llama_flash_attn_type
    parameters.flash_attn_type = {
        None: kinds.LLAMA_FLASH_ATTN_TYPE_AUTO,
        True: kinds.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        False: kinds.LLAMA_FLASH_ATTN_TYPE_DISABLED,
    }[options.flash_attention]
    parameters.kv_unified = False
    parameters.cpuparams.n_threads = options.n_threads or _usable_cores()
    parameters.api_keys = [key]
    parameters.endpoint_slots = False
    parameters.verbosity = 3 if options.verbose else -1
    return parameters


def _cache_type(library: Any, name: CacheType) -> Any:
    return getattr(library.ggml_type, f"GGML_TYPE_{name.upper()}")


def _usable_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Put back the process's SIGINT and SIGTERM handlers as they were, which the engine's start replaces.

    At the level of the system, since Python's own ``signal.signal`` works in the main thread only.
    """
    system = ctypes.CDLL(None)
    kept = {
        number: ctypes.create_string_buffer(_SIGACTION_BYTES) for number in (signal.SIGINT, signal.SIGTERM)
    }
    for number, action in kept.items():
        system.sigaction(int(number), None, action)
    try:
        yield
    finally:
        for number, action in kept.items():
            system.sigaction(int(number), action, None)


def _refused(path: Path, options: LlamaCppOptions) -> str:
    megabytes = path.stat().st_size / 1e6
    return (
        f"llama.cpp cannot load {path} ({megabytes:.0f} MB). It does not say why: the file is damaged or "
        "only half downloaded (compare its size or checksum), its architecture is newer than the installed "
        f"xllamacpp (pip install -U xllamacpp), or memory is short for {options.n_parallel} slots of "
        f"{options.context_length} tokens (lower engine.n_parallel or engine.context_length). "
        "--set engine.verbose=true shows llama.cpp's own log"
    )


def llama_cpp(argument: str = "", **options: object) -> LlamaCpp:
    """A GGUF file in the embedded engine: ``--model llama_cpp:FILE.gguf``. Raises UserError without a file."""
    if not argument:
        raise UserError("llama_cpp needs a model file: --model llama_cpp:FILE.gguf")
    path = Path(argument).expanduser()
    return LlamaCpp(path, name=path.name, options=read_options(LlamaCppOptions, "llama_cpp", options))


def local(argument: str = "", **options: object) -> LlamaCpp:
    """SmolLM2-135M-Instruct in the embedded engine: ``--model local``.

    It shows that everything works. A model of this size does not reason.
    """
    if argument:
        raise UserError(
            f"the model local takes no argument, got {argument!r}; for a file of your own, write --model "
            f"llama_cpp:{argument}"
        )
    chosen = read_options(LlamaCppOptions, "local", options)
    return LlamaCpp(weights.default_weights, name=weights.FILE_NAME, options=chosen)
