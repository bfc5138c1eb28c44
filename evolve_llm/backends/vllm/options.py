"""Engine arguments of vLLM: which exist, what is set where nothing was said, and their types.

Names are read from the installed vLLM's source, since importing it takes many seconds; values are read by the
parser of its own command line, so that ``--set engine.X=V`` means what ``vllm serve --X V`` means.
"""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evolve_llm.backends.llama_cpp.weights import fingerprint
from evolve_llm.basics.nearest import did_you_mean
from evolve_llm.nouns.errors import UserError

INSTALL = 'pip install "evolve-llm[vllm]" (on a machine without a GPU: docs/vllm.md, "On a CPU")'

ENVIRONMENT = {
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Set before the import where the user has not: no fork of a process with threads, every core this process may
use, GiB of KV cache on a CPU, and no report to vLLM's makers."""

DISTRIBUTION = (
    "chat_template", "chat_template_kwargs", "code_revision", "config_format", "dtype", "generation_config",
    "hf_config_path", "hf_overrides", "kv_cache_dtype", "load_format", "logits_processors", "lora", "lora_from",
    "model_class_overrides", "model_impl", "model_weights", "override_generation_config", "quantization",
    "quantization_config", "reasoning_parser", "revision", "tokenizer", "tokenizer_mode", "tokenizer_revision",
)  # fmt: skip
"""What changes which texts the model writes: part of the identity where it is set. All else is speed or size."""

_FILES = ("chat_template", "lora")
_MODELS = ("tokenizer", "hf_config_path", "model_weights")


@cache
def argument_names() -> frozenset[str]:
    """The engine arguments of the installed vLLM; empty where none is installed or its source reads otherwise."""
    spec = find_spec("vllm")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    names: set[str] = set()
    for place in places:
        try:
            tree = ast.parse((Path(place) / "engine" / "arg_utils.py").read_text("utf-8"))
        except (OSError, ValueError, SyntaxError):
            continue
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name in ("EngineArgs", "AsyncEngineArgs"):
                fields = (one.target for one in node.body if isinstance(one, ast.AnnAssign))
                names |= {one.id for one in fields if isinstance(one, ast.Name)}
    return frozenset(name for name in names if not name.startswith("_")) - {"model"}


def refuse_unknown(given: Iterable[str], own: Iterable[str], arguments: Iterable[str]) -> None:
    """Raise UserError naming every option that is neither one of ours nor vLLM's, with the nearest names."""
    own, arguments = sorted(own), sorted(arguments)
    lines = []
    for name in given:
        if name in own or name in arguments:
            continue
        if name == "model":
            lines.append("option model of the backend vllm: give the model as --model vllm:NAME_OR_PATH")
            continue
        hint = did_you_mean(name.replace("-", "_"), [*own, *arguments])
        lines.append(
            f"unknown option of the backend vllm {name!r}.{hint} Available: {', '.join(own)}, and "
            f"the {len(arguments)} engine arguments of the installed vLLM (vllm serve --help=all)"
        )
    if lines:
        raise UserError("\n".join(lines))


def identity(model: str, given: Mapping[str, object]) -> str:
    """``vllm:NAME`` with what was set that changes the texts; folders by their last name, wherever they lie."""
    changed = {
        name: _place(value) if name in _FILES else model_name(str(value)) if name in _MODELS else value
        for name, value in sorted(given.items())
        if name in DISTRIBUTION and value is not None
    }
    extra = json.dumps(changed, sort_keys=True, default=str) if changed else ""
    return f"vllm:{model_name(model)}{extra}"


def model_name(model: str) -> str:
    """The name of a model: of a folder its last part, of a hub's model all of it."""
    return _place(model) if is_path(model) else model


def is_path(model: str) -> bool:
    """Whether a model is meant as a folder of this machine, and not as a name on a hub."""
    return model.startswith(("/", "./", "../", "~")) or model.count("/") > 1 or Path(model).exists()


def _place(value: object) -> str:
    return Path(str(value)).expanduser().resolve().name or str(value)


def folder_fingerprint(folder: Path) -> str:
    """A cheap digest that tells two model folders apart: of the configuration, and of each weight file's
    size, beginning and end."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*")):
        if path.suffix in (".safetensors", ".gguf", ".bin", ".pt"):
            digest.update(f"{path.name} {fingerprint(path)}\n".encode())
        elif path.name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def defaults(model: str, *, cpu: bool, cpuinfo: str = "") -> dict[str, Any]:
    """Engine arguments that are set unless the user sets them."""
    found: dict[str, Any] = {
        "model": model,
        "enable_prefix_caching": True,
        "generation_config": "vllm",  # no sampling defaults of the model's own behind the preset's back
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if cpu:
        found["gpu_memory_utilization"] = 0.3  # of the machine's memory, there
        # 0.32 rewinds the generator of a seeded request whose prompt is read in pieces; a CPU's cannot, the engine dies
        found["enable_chunked_prefill"] = False
        if cpuinfo and not has_bf16(cpuinfo):
            found["dtype"] = "float32"
    return found


def has_bf16(cpuinfo: str) -> bool:
    """Whether a CPU multiplies bfloat16 matrices, by the text of ``/proc/cpuinfo``."""
    words = set(cpuinfo.split())
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})


def set_environment(verbose: bool) -> None:
    """Set the variables of ENVIRONMENT that nobody has set, and who may write logs. Before vLLM is imported."""
    quiet = {"VLLM_CONFIGURE_LOGGING": "0", "TRANSFORMERS_VERBOSITY": "error"}
    loud = {"VLLM_LOGGING_STREAM": "ext://sys.stderr"}  # standard output is for results
    for name, value in {**ENVIRONMENT, **(loud if verbose else quiet)}.items():
        os.environ.setdefault(name, value)
    if not verbose:
        logging.getLogger("vllm").setLevel(logging.CRITICAL)


def engine_arguments(library: Any, values: Mapping[str, Any]) -> Any:
    """An ``AsyncEngineArgs`` of ``library`` (the module ``vllm.engine.arg_utils``).

    Numbers, texts, booleans, lists and tables go through vLLM's own command line parser; other objects, which
    only Python can give, are taken as they are. Raises UserError for a value that it refuses.
    """
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    class Parser(FlexibleArgumentParser):  # type: ignore[misc, valid-type, unused-ignore]
        def error(self, message: str) -> Any:
            raise UserError(f"options of the backend vllm: {_as_setting(message)}")

    parser = library.AsyncEngineArgs.add_cli_args(Parser(add_help=False))
    flags = {action.dest: action for action in parser._actions}
    words: list[str] = []
    objects: dict[str, Any] = {}
    for name, value in values.items():
        written = _words(name, value, flags.get(name))
        if written is None:
            objects[name] = value
        else:
            words += written
    arguments = library.AsyncEngineArgs.from_cli_args(parser.parse_args(words))
    for name, value in objects.items():
        setattr(arguments, name, value)
    return arguments


def _words(name: str, value: Any, action: Any) -> list[str] | None:
    """An argument as on a command line; None where it cannot be written there."""
    flag = f"--{name.replace('_', '-')}"
    if action is None or value is None:
        return None
    switches = type(action).__name__ == "BooleanOptionalAction" or action.nargs == 0
    if switches:
        told = {"true": True, "false": False}.get(str(value).lower())
        if told is None:
            raise UserError(f"option {name} of the backend vllm must be true or false, got {value!r}")
        return [flag] if told else [f"--no-{name.replace('_', '-')}"]
    if isinstance(value, list | tuple | set):
        return [flag, *map(str, value)] if action.nargs else [f"{flag}={json.dumps(list(value))}"]
    if isinstance(value, Mapping):
        return [f"{flag}={json.dumps(value)}"]
    if isinstance(value, str | int | float):
        return [f"{flag}={value}"]
    return None


def _as_setting(message: str) -> str:
    return (
        message.replace("argument --", "engine.", 1).replace("-", "_")
        if message.startswith("argument")
        else message
    )
