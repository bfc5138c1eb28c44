"""What a training leaves: a folder that vLLM, transformers and, for a fly, llama.cpp load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evolve_llm.basics.whole_file import write_whole
from evolve_llm.nouns.errors import StoreError
from evolve_llm.train.checkpoints import written
from evolve_llm.train.fly_weights import write_gguf
from evolve_llm.train.models import Base


def save(trainer: Any, tokenizer: Any, base: Base, out: Path) -> None:
    """Write the trained model or its adapter to a folder.

    An adapter's configuration names its base as it was given, not the place where it lay. Raises StoreError where the
    disk is full: the checkpoints stay, and the same command writes it again.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    adapted = hasattr(model, "peft_config")
    try:
        if adapted:
            model.save_pretrained(str(out), selected_adapters=["default"])
            file = out / "adapter_config.json"
            config = json.loads(file.read_text("utf-8"))
            config["base_model_name_or_path"] = base.given
            config["target_modules"] = sorted(
                config["target_modules"]
            )  # a set: its order is another in every process
            write_whole(file, json.dumps(config, indent=2, sort_keys=True) + "\n")
        else:
            model.save_pretrained(str(out))
        tokenizer.save_pretrained(str(out))
        write_whole(out / "README.md", page(base, adapted=adapted))
        if base.gguf is not None:
            whole = model.merge_and_unload() if adapted else model
            weights = {
                name: value.detach().float().cpu().numpy() for name, value in whole.state_dict().items()
            }
            write_gguf(weights, whole.config.num_attention_heads, base.gguf, out)
    except Exception as error:
        said = written(error)
        if said is None:
            raise
        raise StoreError(
            f"cannot write {out}: {said}. The training is done and its checkpoints are whole; free "
            "some space, and repeat the command to write the model"
        ) from error


def page(base: Base, *, adapted: bool) -> str:
    """A README that says what lies in the folder. The data card says what it was trained on."""
    what = "A LoRA adapter of" if adapted else "The weights of"
    return (
        f"# Trained to aggregate\n\n{what} `{base.given}` after reinforcement learning on standard and aggregation "
        "prompts by evolve-llm. `training.json` has the settings and the digest of the training set, `metrics.jsonl` a "
        "line a step.\n"
    )
