"""Whether verl knows the options that we write for it: ``python experiments/aggregation_rl/verl_names.py FOLDER ...``.

Each FOLDER is an unpacked verl, such as ``pip download --no-deps verl==0.6.1`` and ``python -m zipfile -e`` give. Its
configuration is composed with our options by hydra, as verl does at its start, without verl, torch or a GPU. Needs
hydra-core beside evolve-llm, which pip installs with ANTLR 4.9, an old one that our grading can use too. Prints, a line
a folder, the options that do not exist there; ends with 1 where there are any.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from evolve_llm.train.settings import train_settings
from evolve_llm.train.verl import script


def options() -> list[str]:
    """What the written command sets, an option an entry, with LoRA's."""
    settings = train_settings("rsa-rl", {"lora": 16})
    text = script(Path("/data"), "org/model", Path("/out"), settings, 8192)
    command = text[text.index("python3 -m verl") :].replace("\\\n", " ")
    words = shlex.split(
        command.replace('"$@"', "").replace("${N_GPUS:-8}", "8").replace("${N_NODES:-1}", "1")
    )
    return [word for word in words[3:] if "=" in word]


def missing(folder: Path, wanted: Sequence[str]) -> list[str]:
    """The options that the verl in a folder does not have. Raises FileNotFoundError where there is no verl."""
    config = folder / "verl" / "trainer" / "config"
    if not (config / "ppo_trainer.yaml").is_file():
        raise FileNotFoundError(f"no verl/trainer/config/ppo_trainer.yaml in {folder}")
    from hydra import compose, initialize_config_dir
    from hydra.errors import ConfigCompositionException

    found = []
    with initialize_config_dir(str(config.resolve()), version_base=None):
        for option in wanted:
            try:
                compose("ppo_trainer", overrides=[option])
            except ConfigCompositionException as error:
                said = str(error.__cause__ or error).splitlines()[0]
                name, words = option.partition("=")[0], " ".join(said.split())
                found.append(f"{name} ({words})")
    return found


def main(folders: Sequence[str]) -> int:
    """Look at every folder."""
    wanted, wrong = options(), 0
    for folder in folders:
        found = missing(Path(folder), wanted)
        wrong += len(found)
        print(f"{folder}: {len(wanted)} options, {len(found)} unknown", *found, sep="\n  ")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
