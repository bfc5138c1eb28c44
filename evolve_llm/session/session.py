"""From what a person asks for to a run: everything is checked before the first token is spent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deap import base

from evolve_llm.analysis.run import Run
from evolve_llm.backends.base import Backend, make_backend, takes_pictures, token_starts
from evolve_llm.backends.recorded import Recorded
from evolve_llm.engine.evolution import Evolution, Generation
from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.errors import BudgetReached, UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import ModelInfo
from evolve_llm.record.run_files import read_run_json, require_same
from evolve_llm.record.store import Store
from evolve_llm.scheme import registry
from evolve_llm.scheme.customizing import customized
from evolve_llm.scheme.preset import Preset, load_preset
from evolve_llm.scheme.problem_sets import check_problems, load_problems
from evolve_llm.scheme.scheme import Scheme
from evolve_llm.scheme.templates import check_prompts
from evolve_llm.scheme.toolbox import build
from evolve_llm.session.estimate import Estimate, estimate, require_fit
from evolve_llm.session.identity import changes, config_digest, environment, run_config

DEFAULT_RUNS = Path("runs")

BY_CHARACTERS = (
    "the model's server does not say where tokens start: tails are cut by characters, at each chain's own rate; "
    "--set engine.tokenizer=FILE (the model's tokenizer.json) cuts them by tokens"
)
UNSEEDED = (
    "requests carry no seed (engine.seeds=none): a repeated run gives other texts; resuming works as ever"
)


@dataclass
class Session:
    """One run with everything it needs: problems, scheme, backend and directory.

    Making a session loads and checks everything that needs no model. ``start`` opens the model and the run
    directory, ``generations`` evolves, and ``close`` releases both. ``async with`` starts and closes it.

    The fields are the arguments of ``evolve``, with three more names:

        problem_options: Options of the problem set, where ``problems`` is a SPEC.
        overrides: Changes to the preset, by dotted keys such as ``select.tournsize``.
        upto: How many problems to work on now, from the first one on; the others stay for a later session of the
            same run. All of them, if it is None.

    Raises:
        UserError: A setting is wrong or does not fit the others.
    """

    problems: str | Sequence[Problem]
    preset: str | Preset = "rsa"
    model: str | Backend = "local"
    seed: int = 0
    out: str | Path | None = None
    limit: int | None = None
    problem_options: Mapping[str, Any] | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    engine: Mapping[str, Any] | None = None
    prompts: str | Path | None = None
    cache: str | Path | None = None
    concurrency: int | None = None
    budget_tokens: int | None = None
    unsafe_local: bool = False
    customize: Callable[[base.Toolbox], None] | None = None
    upto: int | None = None

    def __post_init__(self) -> None:
        for name in ("concurrency", "budget_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, got {value}")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"the seed must be in 0 ... 2**63 - 1, got {self.seed}")
        preset = self.preset if isinstance(self.preset, Preset) else load_preset(self.preset)
        self._preset = preset.override(self.overrides) if self.overrides else preset
        prompts_folder = Path(self.prompts) if self.prompts is not None else None
        self.scheme: Scheme = build(self._preset, prompts_folder)
        if self.customize is not None:
            self.scheme = customized(self.scheme, self.customize, prompts_folder)
            self._preset = self.scheme.preset
        self.items: list[Problem] = _problems(self.problems, self.problem_options, self.limit)
        for name in sorted({problem.format for problem in self.items}):
            registry.load("answer format", name)
        if self.scheme.oracle:
            blind = [one.id for one in self.items if one.grader is None or one.reference is None]
            if blind:
                raise UserError(
                    f"the fitness of preset {self._preset.name!r} is the grader, but {len(blind)} "
                    f"problem(s) cannot be graded ({blind[0]!r} has no reference or no grader); choose "
                    "another [evaluate]"
                )
        prompts = check_prompts(self.scheme.templates, self.items)
        backend = make_backend(self.model, self.engine) if isinstance(self.model, str) else self.model
        self.backend: Backend = backend if self.cache is None else Recorded(Path(self.cache), backend)
        self.config = run_config(self.scheme, self.backend.identity, self.items, prompts, self.seed)
        self.path = Path(self.out) if self.out is not None else DEFAULT_RUNS / self._default_name()
        self.info: ModelInfo | None = None
        self.evolution: Evolution | None = None
        self.warnings: list[str] = []  # what changed around a resumed run; known after start
        self._store: Store | None = None
        self._grading: GradingPool | None = None
        self._started = 0.0

    def _default_name(self) -> str:
        slug = "".join(c if c.isalnum() or c in "-_" else "-" for c in self._preset.name)
        return f"{slug}-{config_digest(self.config)}"

    async def estimate(self) -> Estimate:
        """Compute what the run would cost at most. It opens the model for its tokenizer and window, and spends nothing.

        Returns:
            The requests and tokens of the whole run, and whether its widest request fits the window.

        Raises:
            UserError: A setting does not suit the model.
            BackendError: The model cannot be opened.
            OperatorError: An operator fails on the stand-ins it is tried on.
        """
        if self.info is None:
            self.info = await self.backend.start()
        pictured = sum(bool(one.pictures) for one in self.items)
        if pictured and not takes_pictures(self.backend):
            raise UserError(
                f"{pictured} of {len(self.items)} problems hold pictures, and the model {self.backend.identity!r} "
                "takes text alone; use a vision model, on a server (openai) or in vLLM"
            )
        return await estimate(self.items, self.scheme, self.backend, self.info.context_length)

    async def start(self) -> Evolution:
        """Open the model and the run directory. A run that is already complete opens no model.

        Returns:
            The evolution, ready to run.

        Raises:
            UserError: The directory belongs to another run, or a request does not fit the model's window.
            BackendError: The model cannot be opened.
            StoreError: The directory cannot be read or written, or another process is writing it.
            OperatorError: An operator fails on the stand-ins it is tried on.
        """
        complete = require_same(self.path, self.config)
        self._grading = GradingPool(unsafe_local=self.unsafe_local)
        if complete:
            self.info = ModelInfo(self.backend.identity)
        else:
            self._grading.require(self.items)
            require_fit(await self.estimate(), self.scheme)
        assert self.info is not None
        spec = self.problems if isinstance(self.problems, str) else None
        described = environment(None if complete else self.info, spec)
        self._store = Store.open_for_run(self.path, self.config, described, self.items)
        self.warnings = changes(read_run_json(self.path)["environment"], described)
        if self.info.details.get("seeds") == "none":
            self.warnings.append(UNSEEDED)
        tails = self.scheme.preset.carry.policy == "tail" and not complete
        if tails and await token_starts(self.backend, "0") is None:
            self.warnings.append(BY_CHARACTERS)
        self.evolution = Evolution(
            self.items[: self.upto],
            self.scheme,
            self.backend,
            self._store,
            self._grading,
            seed=self.seed,
            concurrency=self.concurrency,
            budget=self.budget_tokens,
            window=self.info.context_length,
        )
        self._started = time.time()
        return self.evolution

    async def generations(self) -> AsyncGenerator[Generation, None]:
        """Evolve, and yield each finished generation of each problem. ``start`` must come first.

        Yields:
            The generations of one problem in order; those of different problems as they end.

        Raises:
            BudgetReached: The token budget is spent.
            BackendError: The model died.
            StoreError: The run directory can no longer be written.
            OperatorError: An operator broke its contract.
        """
        assert self.evolution is not None, "start() comes first"
        async with contextlib.aclosing(self.evolution.run()) as generations:
            async for generation in generations:
                yield generation

    async def close(self) -> None:
        """Release the model and the directory. The database of a complete run is compacted."""
        store, evolution = self._store, self.evolution
        try:
            await self.backend.close()
            if self._grading is not None:
                await self._grading.close()
        finally:
            if store is not None:
                self._store = None
                if evolution is not None:
                    meter = evolution.meter
                    store.log_session(
                        {
                            "started": round(self._started, 3),
                            "seconds": round(time.time() - self._started, 3),
                            "requests": meter.requests,
                            "failed": meter.failed,
                            "prompt_tokens": meter.prompt_tokens,
                            "completion_tokens": meter.completion_tokens,
                        }
                    )
                store.close(compact=len(store.finished()) == len(self.items))

    async def __aenter__(self) -> Session:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def evolve(
    problems: str | Sequence[Problem],
    preset: str | Preset = "rsa",
    model: str | Backend = "local",
    *,
    on_generation: Callable[[Generation], None] | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    limit: int | None = None,
    engine: Mapping[str, Any] | None = None,
    prompts: str | Path | None = None,
    cache: str | Path | None = None,
    concurrency: int | None = None,
    budget_tokens: int | None = None,
    unsafe_local: bool = False,
    customize: Callable[[base.Toolbox], None] | None = None,
    **overrides: Any,
) -> Run:
    """Evolve problems and return the run. The call blocks until the run is done.

    The same call with the same ``out`` resumes the run.

    Args:
        problems: A SPEC as on the command line, or Problem objects.
        preset: The name of a preset, the path of a TOML file, or a Preset.
        model: A SPEC as on the command line, or a Backend.
        on_generation: Called with each finished generation of each problem.
        seed: The seed of every random choice, in [0, 2**63).
        out: The run directory; a folder in ``runs/`` named after the configuration, if it is None.
        limit: The number of problems to use, from the first one on; all of them, if it is None.
        engine: Options of the model's backend, as ``--set engine.KEY=VALUE``.
        prompts: A folder of templates that replace the built-in ones.
        cache: A file that records the model's answers, so that none is paid for twice.
        concurrency: The number of requests in flight; as many as the model takes, if it is None.
        budget_tokens: The prompt and completion tokens after which no request starts. A spent budget ends
            the run early without an error: see ``Run.complete``.
        unsafe_local: Whether to grade without a sandbox if none is available.
        customize: Called with the DEAP toolbox before the run; it may register any alias again.
        overrides: Changes to the preset: ``population=8``, ``select=my_operator``,
            ``sampling={"max_tokens": 256}``.

    Returns:
        The results of the run, which are read from its directory.

    Raises:
        UserError: A setting is wrong, or a request does not fit the model's window.
        BackendError: The model cannot be used.
        StoreError: The run directory cannot be read or written.
        OperatorError: An operator broke its contract. In every case, what was stored stays.
    """
    session = Session(
        problems,
        preset,
        model,
        seed=seed,
        out=out,
        limit=limit,
        overrides=flatten(overrides),
        engine=engine,
        prompts=prompts,
        cache=cache,
        concurrency=concurrency,
        budget_tokens=budget_tokens,
        unsafe_local=unsafe_local,
        customize=customize,
    )

    async def work() -> None:
        async with session:
            with contextlib.suppress(BudgetReached):
                async with contextlib.aclosing(session.generations()) as generations:
                    async for generation in generations:
                        if on_generation is not None:
                            on_generation(generation)

    _run_blocking(work)
    return Run(session.path)


def _run_blocking(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run to the end; in a thread of its own where this one already runs an event loop (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work())
        return
    with ThreadPoolExecutor(1, thread_name_prefix="evolve-llm") as thread:
        thread.submit(lambda: asyncio.run(work())).result()


def flatten(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings as dotted keys: ``{"sampling": {"max_tokens": 8}}`` is ``{"sampling.max_tokens": 8}``.

    A mapping that names an operator stays whole: it replaces the one before, parameters and all.
    """
    found: dict[str, Any] = {}
    for key, value in overrides.items():
        if isinstance(value, Mapping) and "operator" not in value:
            found |= {f"{key}.{inner}": one for inner, one in flatten(value).items()}
        else:
            found[key] = value
    return found


def _problems(
    problems: str | Sequence[Problem], options: Mapping[str, Any] | None, limit: int | None
) -> list[Problem]:
    if isinstance(problems, str):
        return load_problems(problems, options=options, limit=limit)
    if limit is not None and limit < 1:
        raise UserError(f"the limit must be at least 1, got {limit}")
    items = list(problems)[:limit]
    if not items:
        raise UserError("no problems were given")
    check_problems(items, "the problems given")
    return items
