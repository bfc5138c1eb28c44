"""LoRA adapters, checked before the engine sees them: a path that is not there hangs its next call."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve_llm.backends.llama_cpp.weights import fingerprint
from evolve_llm.nouns.errors import UserError

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as ``max_lora_rank``."""

_PREFIX = "base_model.model."
_LONGEST_HEADER = 100_000_000
_PART = re.compile(r"(.+)\.lora_(A|B)(?:\.default)?\.weight")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A folder with an adapter that was read and found whole."""

    path: Path
    rank: int
    fingerprint: str

    @property
    def max_lora_rank(self) -> int:
        """The smallest rank vLLM can be told that holds this one."""
        return next(rank for rank in RANKS if rank >= self.rank)


def read_adapter(folder: str | Path, base: Path | None) -> Adapter:
    """The adapter in a folder as PEFT saves it, checked against the base model's weights where these lie in ``base``.

    Raises UserError where the folder or a file is missing, cannot be read, or does not fit the model.
    """
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise UserError(f"engine.lora={folder}: there is no such folder; name the folder that holds {CONFIG}")
    config = _config(path)
    rank = config.get("r")
    if not isinstance(rank, int) or not 1 <= rank <= RANKS[-1]:
        raise UserError(f"{path / CONFIG} has the rank r={rank!r}; vLLM takes 1 to {RANKS[-1]}")
    if config.get("peft_type", "LORA") != "LORA" or config.get("use_dora"):
        kind = "DoRA" if config.get("use_dora") else config["peft_type"]
        raise UserError(
            f"the adapter {path} is {kind}; vLLM takes only plain LoRA; merge the adapter into the model"
        )
    if config.get("modules_to_save"):
        raise UserError(
            f"the adapter {path} replaces whole modules (modules_to_save={config['modules_to_save']}), "
            "which vLLM cannot load beside a base model; merge the adapter into the model"
        )
    weights = path / WEIGHTS
    if not weights.is_file():
        if (path / PICKLED).is_file():
            raise UserError(
                f"the adapter {path} has only {PICKLED}; save it again as {WEIGHTS} (safetensors)"
            )
        raise UserError(f"the adapter {path} has no {WEIGHTS}; it was not saved, or it was saved elsewhere")
    shapes = tensor_shapes(weights)
    fault = misfit(shapes, rank, base_shapes(base) if base is not None else {})
    if fault is not None:
        raise UserError(f"the adapter {path} does not fit the model: {fault}")
    digest = hashlib.sha256((path / CONFIG).read_bytes() + fingerprint(weights).encode())
    return Adapter(path, rank, digest.hexdigest())


def _config(path: Path) -> dict[str, Any]:
    try:
        found = json.loads((path / CONFIG).read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"engine.lora={path} is not an adapter: it has no {CONFIG}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path / CONFIG} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path / CONFIG} does not hold a JSON object")
    return found


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes in a safetensors file, by name, from its header. Raises UserError for a file that is none."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= _LONGEST_HEADER:
                raise ValueError("its header has no possible length")
            header = json.loads(file.read(length))
        shapes = {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
        ends = max(
            (entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is not a safetensors file: {error}") from None
    if path.stat().st_size < 8 + length + ends:
        raise UserError(f"{path} is incomplete: it has {path.stat().st_size} of {8 + length + ends} bytes")
    return shapes


def base_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a model's weights in a folder; none where it has no safetensors."""
    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= tensor_shapes(path)
    return found


def misfit(
    adapter: Mapping[str, tuple[int, ...]], rank: int, base: Mapping[str, tuple[int, ...]]
) -> str | None:
    """Why an adapter's tensors cannot be added to a model's, None where they can, as far as is known here.

    A module of the adapter is looked for by its full name, then by its last part: models are sometimes wrapped.
    """
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in adapter.items():
        found = _PART.fullmatch(name.removeprefix(_PREFIX))
        if found is not None:
            parts.setdefault(found[1], {})[found[2]] = shape
    if not parts:
        return f"{WEIGHTS} holds no LoRA tensors"
    leaves = {name.removesuffix(".weight").rpartition(".")[2] for name in base}
    for module, pair in sorted(parts.items()):
        if set(pair) != {"A", "B"}:
            return f"{module} has lora_{'A' if 'A' in pair else 'B'} without the other half"
        if len(pair["A"]) != 2 or len(pair["B"]) != 2:
            continue  # of an embedding or a group of experts
        if pair["A"][0] != pair["B"][1] or pair["A"][0] > rank:
            return f"{module} has the rank {pair['A'][0]} and {pair['B'][1]}, {CONFIG} says r={rank}"
        if base and module.rpartition(".")[2] not in leaves:
            return f"it changes {module}, and the model has no such module"
        wanted = base.get(f"{module}.weight")
        shape = (pair["B"][0], pair["A"][1])
        if wanted is not None and len(wanted) == 2 and wanted != shape:
            return (
                f"{module} is {wanted[0]} x {wanted[1]} in the model, {shape[0]} x {shape[1]} in the adapter"
            )
    return None
