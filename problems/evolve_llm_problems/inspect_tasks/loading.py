"""From ``FILE_OR_MODULE[@TASK]`` to a task of Inspect, and what of it can be replayed."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from evolve_llm.basics.nearest import among
from evolve_llm.nouns.errors import UserError

EXTRA = 'Inspect tasks need inspect-ai; pip install "evolve-llm[inspect]"'


def load_task(spec: str, arguments: Mapping[str, Any]) -> Any:
    """The ``Task`` of a spec, made with these arguments, its data set read.

    ``spec`` is a Python file or an importable module, then ``@`` and the name of a function decorated with
    ``inspect_ai.task``, which may be left out where there is one. A file's folder is the working directory meanwhile,
    as in Inspect.

    Raises UserError where Inspect is missing, where nothing can be imported or made, and for tasks that have no fixed
    data set, no scorer, or want a sandbox.
    """
    try:
        import inspect_ai
    except ImportError as error:
        raise UserError(EXTRA) from error
    place, _, name = spec.partition("@")
    is_file = place.endswith(".py") or os.sep in place
    with _inside(Path(place).expanduser().resolve().parent) if is_file else contextlib.nullcontext():
        module = _module(place, is_file)
        function = _task_function(module, place, name)
        try:
            task = function(**arguments)
        except Exception as error:  # the task's author wrote it, and may raise anything
            raise UserError(f"the Inspect task {spec} cannot be made: {_said(error)}") from error
    if not isinstance(task, inspect_ai.Task):
        raise UserError(f"{spec} gave a {type(task).__name__}, not an inspect_ai.Task")
    if not hasattr(task.dataset, "__getitem__") or not len(task.dataset):
        raise UserError(f"the Inspect task {spec} has no samples that stand before it runs")
    if not task.scorer:
        raise UserError(f"the Inspect task {spec} has no scorer, so nothing could be graded")
    wanted = next((one for one in (task.sandbox, *(each.sandbox for each in task.dataset)) if one), None)
    if wanted is not None:
        kind = getattr(wanted, "type", wanted)
        raise UserError(
            f"the Inspect task {spec} wants a sandbox ({kind}) in which its model works with tools; chains are only "
            "texts here, so it cannot be replayed. Programs are graded in a sandbox by livecodebench, humaneval, mbpp"
        )
    return task


def scorer_of(task: Any, name: str | None) -> Any:
    """The scorer to use: the one named, or the first. Raises UserError for a name that no scorer has."""
    named = {scorer_name(one): one for one in task.scorer}
    if name is None:
        return task.scorer[0]
    if name not in named:
        raise UserError(f"the Inspect task {task.name} has no scorer {name!r}.{among(name, list(named))}")
    return named[name]


def scorer_name(scorer: Any) -> str:
    """What Inspect calls a scorer, without its package."""
    from inspect_ai.util import registry_info

    try:
        return str(registry_info(scorer).name).rpartition("/")[2]
    except ValueError:
        return getattr(scorer, "__name__", "scorer")


def sample_digest(sample: Any) -> str:
    """A name for what a sample asks and wants, the same wherever it stands in its data set."""
    asked = sample.input if isinstance(sample.input, str) else [one.model_dump() for one in sample.input]
    for message in asked if isinstance(asked, list) else ():
        message.pop("id", None)  # drawn anew at each loading
    told = json.dumps([asked, sample.target, sample.choices, sample.metadata], sort_keys=True, default=str)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:24]


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """With this folder as the working directory and first on the path of imports."""
    if not folder.is_dir():
        raise UserError(f"no such folder: {folder}")
    with contextlib.chdir(folder):
        sys.path.insert(0, str(folder))
        try:
            yield
        finally:
            sys.path.remove(str(folder))


def _module(place: str, is_file: bool) -> ModuleType:
    try:
        if not is_file:
            return importlib.import_module(place)
        path = Path(place).expanduser()
        path = path if path.is_absolute() else Path(path.name)  # the working directory is its folder
        if not path.is_file():
            raise UserError(f"no such file: {place}")
        name = "evolve_llm_inspect_task_" + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise UserError(f"{place} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except UserError:
        raise
    except BaseException as error:  # a task's file may raise anything, SystemExit too
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UserError(f"the Inspect task {place} cannot be imported: {_said(error)}") from error
    return module


def _task_function(module: ModuleType, place: str, name: str) -> Any:
    from inspect_ai.util import registry_info

    found = {}
    for key, value in vars(module).items():
        with contextlib.suppress(ValueError, TypeError):
            if callable(value) and registry_info(value).type == "task":
                found[key] = value
    if not found:
        raise UserError(f"{place} holds no Inspect task: no function in it is decorated with @task")
    if not name and len(found) > 1:
        raise UserError(
            f"{place} holds several Inspect tasks; add one: {', '.join(f'@{one}' for one in found)}"
        )
    if name and name not in found:
        raise UserError(f"{place} holds no Inspect task {name!r}.{among(name, list(found))}")
    return found[name] if name else next(iter(found.values()))


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
