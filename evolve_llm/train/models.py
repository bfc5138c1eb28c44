"""The model that is trained: found, and checked against the training set before a weight is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve_llm.backends.fly import FILE_NAME, SHIPPED
from evolve_llm.nouns.errors import UserError

HINT = 'pip install "evolve-llm[train]"'


@dataclass(frozen=True, slots=True)
class Base:
    """A model to train: ``given`` as it was named, ``place`` where transformers finds it.

    ``gguf`` is its file for llama.cpp where it is a fly, whose trained weights are written in that form too.
    """

    given: str
    place: str
    gguf: Path | None = None

    @property
    def folder(self) -> Path | None:
        """Where its files lie, if they lie in a folder here."""
        path = Path(self.place)
        return path if path.is_dir() else None


def base_of(name: str) -> Base:
    """The model behind ``fly``, ``fly-hard``, a folder, or a name on the hub; ``vllm:`` before it changes nothing.

    Raises UserError for models that cannot be trained, such as a GGUF file or a server.
    """
    given = name.removeprefix("vllm:")
    if given in SHIPPED:
        from evolve_llm.backends.vllm.fly import shipped_folder

        folder = shipped_folder(SHIPPED[given])
        return Base(given, str(folder), folder / FILE_NAME)
    kind = given.partition(":")[0]
    if (
        given.endswith(".gguf")
        or kind in ("llama_cpp", "openai", "local", "scripted", "recorded")
        or not given
    ):
        raise UserError(
            f"the model {name!r} cannot be trained: training needs weights as transformers reads them; give --model a "
            "folder or a name on the hub, or fly or fly-hard"
        )
    path = Path(given).expanduser()
    if not path.is_dir() and (path.is_absolute() or given.startswith(".") or given.count("/") > 1):
        raise UserError(
            f"there is no folder {given}; give --model a folder with a model, or a name on the hub"
        )
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        raise UserError(f"{given} is an adapter, not a model; give --model its base, and --adapter {given}")
    gguf = path / FILE_NAME
    return Base(given, str(path) if path.is_dir() else given, gguf if gguf.is_file() else None)


def tokenizer_of(base: Base) -> Any:
    """A model's tokenizer, padding on the left. Raises UserError where it is missing or has no chat template."""
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise UserError(f"training needs transformers, trl and peft: {HINT}") from error
    try:
        found = AutoTokenizer.from_pretrained(base.place, padding_side="left", truncation_side="left")
    except Exception as error:  # whatever transformers makes of a folder or a name
        raise UserError(f"the tokenizer of {base.given} cannot be loaded: {_first_line(error)}") from error
    if not found.chat_template:
        raise UserError(
            f"the model {base.given} has no chat template, so messages cannot be made into tokens; take its instruct "
            "version, or put a chat_template.jinja into a folder with the model"
        )
    return found


def prompt_lengths(tokenizer: Any, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """The tokens of each row's prompt with the chat template applied.

    Raises UserError where the set counted them otherwise: then it was made for another model.
    """
    asked = tokenizer.apply_chat_template(
        [row["prompt"] for row in rows], add_generation_prompt=True, return_dict=True
    )
    found = [len(ids) for ids in asked["input_ids"]]
    for row, tokens in zip(rows, found, strict=True):
        if row["prompt_tokens"] is not None and row["prompt_tokens"] != tokens:
            raise UserError(
                f"the {row['kind']} prompt of problem {row['problem']!r} has {tokens} tokens for this model, and had "
                f"{row['prompt_tokens']} for the run's model: the training set was made for another one"
            )
    return found


def check_lengths(
    lengths: Sequence[int],
    rows: Sequence[Mapping[str, Any]],
    max_tokens: int,
    window: int | None,
    longest: int | None,
) -> None:
    """Raises UserError where a prompt is longer than ``longest``, or leaves no room for a reply in the window."""
    limits = [one for one in (longest, None if window is None else window - max_tokens) if one is not None]
    if not limits:
        return
    most = min(limits)
    over = [place for place, tokens in enumerate(lengths) if tokens > most]
    if over:
        raise UserError(
            f"{len(over)} of {len(rows)} prompts are too long, such as that of problem {rows[over[0]]['problem']!r} "
            f"with {lengths[over[0]]} tokens: at most {most} leave room for a reply of {max_tokens}; make the training "
            "set with fewer candidates (--k), or set max_tokens or max_prompt_tokens"
        )


def window_of(base: Base) -> int | None:
    """The longest prompt and reply together that a model's configuration allows; None where it does not say."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(base.place)
    except Exception as error:
        raise UserError(f"the model {base.given} cannot be loaded: {_first_line(error)}") from error
    found = getattr(config, "max_position_embeddings", None)
    return int(found) if found else None


def check_adapter(folder: Path, base: Base) -> None:
    """Raises UserError where a folder is no adapter, or one of another base model."""
    from evolve_llm.backends.vllm.lora import CONFIG, read_adapter

    read_adapter(folder, base.folder)
    named = json.loads((folder / CONFIG).read_text("utf-8")).get("base_model_name_or_path")
    if named and named != base.given and Path(named).name != Path(base.place).name:
        raise UserError(
            f"the adapter {folder} was trained for {named!r}, not for {base.given!r}; give --model {named}"
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
