"""Starting vLLM's engine quietly, and saying in one line why it would not start.

The engine lives in processes of its own. What they and the library print while loading goes to a file, since
the reason of a failure stands nowhere else; Ctrl-C is kept from them, since the run ends them in good order.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from evolve_llm.backends.vllm import options as vllm_options
from evolve_llm.backends.vllm.child import children_end_with_us
from evolve_llm.nouns.errors import BackendError, EvolveError, UserError

_CAUSE = re.compile(
    r"^(?:\([^)]*\)\s*)?(?:\w+\s[\d:. -]+\[[^\]]*\]\s*)?([A-Za-z_][\w.]*(?:Error|Exception|Exit)): (.+)$"
)
_MEMORY = re.compile(
    r"out of memory|No available memory|memory utilization|free memory|KV cache", re.IGNORECASE
)
_WINDOW = re.compile(r"max_model_len|max seq len|maximum model length", re.IGNORECASE)
_NO_MODEL = re.compile(
    r"not a valid model identifier|not a local folder|Repository Not Found|Repo id|404|401|gated|"
    r"couldn't connect|LocalEntryNotFound|OfflineMode|does not appear to have a file|Invalid repository ID|"
    r"config\.json|Can't load the configuration|resolve|Connection",
    re.IGNORECASE,
)
_LOG_READ = 1_000_000  # bytes
_WRAPPERS = ("Engine core initialization failed", "WorkerProc initialization failed", "cancelled")


def import_vllm() -> Any:
    """The module ``vllm``. Raises UserError with the line that installs it."""
    server = "or use a server with --model openai:NAME --base-url URL"
    try:
        import vllm
        import vllm.engine.arg_utils
        import vllm.usage.usage_lib
        import vllm.v1.engine.async_llm
    except ModuleNotFoundError as error:
        if error.name == "vllm":
            raise UserError(f"vLLM is not installed: {vllm_options.INSTALL}; {server}") from error
        raise UserError(f"vLLM cannot be imported ({error}): {vllm_options.INSTALL}; {server}") from error
    except Exception as error:  # a library beneath it that does not fit
        raise UserError(
            f"vLLM cannot be imported ({type(error).__name__}: {error}). On a machine without a GPU, this "
            f"usually helps: pip uninstall -y torchvision torchaudio torchcodec; {server}"
        ) from error
    return vllm


def engine_values(model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What ``AsyncEngineArgs`` is made of: our defaults, and over them what was given."""
    from vllm.platforms import current_platform

    cpu = bool(current_platform.is_cpu())
    cpuinfo = ""
    if cpu:
        with contextlib.suppress(OSError):
            cpuinfo = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    return {**vllm_options.defaults(model, cpu=cpu, cpuinfo=cpuinfo), **given}


@dataclass
class Running:
    """An engine that is ready, the processes it started, and the file in which they keep their log."""

    engine: Any
    processes: list[Any]
    log: IO[bytes]

    def last_words(self) -> str:
        """The first error in the log, empty where there is none."""
        with contextlib.suppress(OSError, ValueError):
            return next(iter(causes(_read(self.log))), "")
        return ""

    def stop(self) -> None:
        """End the engine and its threads. Never raises."""
        with contextlib.suppress(Exception):
            self.engine.shutdown()
            self.engine.shutdown = _nothing  # which its __del__ calls again, when Python may be half gone
        end_processes(self.processes)
        self.log.close()


def start_engine(
    model: str, given: Mapping[str, Any], seen: dict[int, tuple[int, int]], *, verbose: bool
) -> Running:
    """An ``AsyncLLM`` that is ready. ``seen`` is kept up to date: the requests that run and that wait, by number
    of engine.

    Blocks for as long as it takes to load the model: call it in a thread. Raises UserError for arguments that
    cannot work, BackendError where the model or the memory cannot be had.
    """
    known = multiprocessing.active_children()
    log = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - it lives as long as the engine
    try:
        with _no_interrupts(), children_end_with_us(), _output_to(None if verbose else log.fileno()):
            library = import_vllm()
            values = engine_values(model, given)
            arguments = vllm_options.engine_arguments(library.engine.arg_utils, values)
            engine = library.v1.engine.async_llm.AsyncLLM.from_engine_args(
                arguments,
                usage_context=library.usage.usage_lib.UsageContext.LLM_CLASS,
                stat_loggers=[queue_watcher(seen)],
            )
        return Running(engine, [one for one in multiprocessing.active_children() if one not in known], log)
    except BaseException as error:  # configuration errors come from many libraries, also as SystemExit
        end_processes([one for one in multiprocessing.active_children() if one not in known])
        with log:
            if isinstance(error, EvolveError) or not isinstance(error, Exception | SystemExit):
                raise
            raise explained(error, _read(log), model) from error


def _nothing(*_: object, **__: object) -> None:
    pass


def _read(log: IO[bytes]) -> str:
    """All that is in a log, without moving the place where its writers write."""
    size = os.fstat(log.fileno()).st_size
    return os.pread(log.fileno(), min(size, _LOG_READ), max(0, size - _LOG_READ)).decode("utf-8", "replace")


def queue_watcher(seen: dict[int, tuple[int, int]]) -> type:
    """A class of vLLM's kind of loggers, which keeps in ``seen`` what the scheduler says of its queues."""
    from vllm.v1.metrics.loggers import StatLoggerBase

    class Queues(StatLoggerBase):  # type: ignore[misc, unused-ignore]
        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            del vllm_config
            self.index = engine_index

        def record(self, scheduler_stats: Any = None, *_: Any, **__: Any) -> None:
            if scheduler_stats is not None:
                seen[self.index] = (scheduler_stats.num_running_reqs, scheduler_stats.num_waiting_reqs)

        def log_engine_initialized(self) -> None:
            pass

    return Queues


def end_processes(processes: list[Any]) -> None:
    """Kill what still lives of these processes, and take note of their end: no zombie stays."""
    for one in processes:
        with contextlib.suppress(Exception):
            if one.is_alive():
                one.kill()
            one.join(10)


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Block SIGINT in this thread: the processes it starts inherit that, and a terminal's Ctrl-C passes them by."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _output_to(target: int | None) -> Iterator[None]:
    """Send what is written to the descriptors 1 and 2 to ``target``, here and in processes started meanwhile.

    What Python's own ``sys.stdout`` and ``sys.stderr`` write (the progress of a run) goes where it went.
    """
    if target is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        for number, name in ((1, "stdout"), (2, "stderr")):
            try:
                kept = os.dup(number)
            except OSError:  # closed: nothing to keep
                continue
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            stream = getattr(sys, name)
            if _descriptor(stream) == number:
                stream.flush()
                # never closed: libraries that are imported meanwhile may keep it
                copy = os.fdopen(os.dup(kept), "w", 1, encoding=stream.encoding, errors="replace")
                setattr(sys, name, copy)
                stack.callback(setattr, sys, name, stream)
            os.dup2(target, number)
        yield


def _descriptor(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


def explained(error: BaseException, log: str, model: str) -> EvolveError:
    """What to tell of a start that failed: the innermost cause, and what to change."""
    cause = root_cause(error, log)
    if _NO_MODEL.search(cause) and not _MEMORY.search(cause):
        return BackendError(
            f"vLLM cannot find or read the model {model!r} ({cause}). Give the folder of a model in Hugging Face "
            "format (config.json, safetensors), or its name on a hub that can be reached from here (for a mirror "
            "or a token: HF_ENDPOINT, HF_TOKEN)"
        )
    if _MEMORY.search(cause) or _WINDOW.search(cause):
        return BackendError(
            f"vLLM cannot load {model!r} with this memory and window ({cause}). Change "
            "engine.gpu_memory_utilization (0 to 1: the part of the device's memory it may take; on a CPU also the "
            "variable VLLM_CPU_KVCACHE_SPACE, in GiB), or lower engine.max_model_len or engine.max_num_seqs"
        )
    return BackendError(
        f"vLLM cannot start with {model!r}: {cause}. --set engine.verbose=true shows its whole log"
    )


def root_cause(error: BaseException, log: str) -> str:
    """One line: the first error in the log where the exception only points there, else the exception's own."""
    own = f"{type(error).__name__}: {error}"
    found = causes(log) if any(wrapper in own for wrapper in _WRAPPERS) else []
    return " ".join((found or [own])[0].split())[:500]


def causes(log: str) -> list[str]:
    """The errors in a log, in order, without those that only point to another."""
    found = [match for match in map(_CAUSE.match, log.splitlines()) if match]
    return [
        f"{one[1]}: {one[2]}"[:500] for one in found if not any(wrapper in one[2] for wrapper in _WRAPPERS)
    ]
