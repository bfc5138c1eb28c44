"""A step's populations: our engine evolves them on the model being trained, and TRL gets the chains.

TRL calls ``Populations.rollout`` where it would have sampled replies (``rollout_func`` of its GRPOTrainer), asks
``reward`` for the value of each chain, and is given ``advantages`` instead of its own.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evolve_llm.nouns.errors import EvolveError, UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.seeding import derive
from evolve_llm.record.store import Store
from evolve_llm.scheme.preset import Preset
from evolve_llm.session.session import evolve
from evolve_llm.train.populations.credit import Chain, advantages, mean_end
from evolve_llm.train.populations.sampler import Sampled, TrainedModel
from evolve_llm.train.rows import problem_of
from evolve_llm.train.settings import TrainSettings

FOLDER = "populations"
"""The run directory of the last step, in the folder of the training."""

NOBODY = -1
"""The chain of a row that only fills up: its population asked less than it could have."""

Value = Callable[..., list[float | None]]


class Populations:
    """The populations of one step after another.

    ``preset`` has their N, K, T and sampling, ``prompts`` is its folder of templates, ``out`` the folder of the
    training. ``end`` is the mean value of the last generations of the step.
    """

    def __init__(
        self, preset: Preset, settings: TrainSettings, out: Path, prompts: Path | None = None
    ) -> None:
        self.preset, self.settings, self.prompts = preset, settings, prompts
        self.folder = out / FOLDER
        self._chains: list[Chain] = []
        self._copies: dict[int, int] = {}
        self._places: list[int] = []
        self._advantages: list[float] = []
        self.end: float | None = None

    @property
    def longest(self) -> int | None:
        """The most tokens of a prompt and its reply together, where ``max_prompt_tokens`` was set."""
        longest = self.settings.max_prompt_tokens
        return None if longest is None else longest + self.preset.sampling.max_tokens

    def rollout(self, inputs: Sequence[dict[str, Any]], model: TrainedModel, step: int) -> dict[str, Any]:
        """Evolve the populations of a step, and return its chains as TRL wants them.

        ``inputs`` are the rows of the step, each repeated for every chain of its problem. Rows come back problem by
        problem, generation by generation, and are as many: those that are left over fill up, and count nowhere.

        Raises:
            UserError: The prompts are not those of the training set, or an operator asks the model on the way.
            EvolveError: As a run does.
        """
        rows = list(inputs[:: self.settings.replies_each])
        problems = [
            replace(problem_of(row).public(), id=f"{place}/{number}/{row['problem']}")
            for place, row in enumerate(rows)
            for number in range(self.settings.rollouts)
        ]
        shutil.rmtree(self.folder, ignore_errors=True)  # of the step before, or of this one where it was cut
        try:
            run = evolve(
                problems,
                self.preset,
                model,
                seed=derive(self.settings.seed, "", step, 0, "populations"),
                out=self.folder,
                prompts=self.prompts,
            )
        except EvolveError:
            if model.failure is not None:
                raise model.failure from None
            raise
        self._check(rows, problems, model)
        self._read(run.path, problems)
        return self._told(problems, model)

    def _check(
        self, rows: Sequence[dict[str, Any]], problems: Sequence[Problem], model: TrainedModel
    ) -> None:
        asked = Counter(
            (problem, at.generation, at.slot) for problem, at in model.replies if at.purpose == "vary"
        )
        if any(count > 1 for count in asked.values()):
            raise UserError(
                f"the preset {self.preset.name!r} asks the model several times for one chain; populations are trained "
                "with operators that ask once: make the training set with --preset rsa"
            )
        for place, row in enumerate(rows):
            first = problems[place * self.settings.rollouts].id
            said = next(
                (
                    one.messages
                    for (name, at), one in model.replies.items()
                    if name == first and at[:2] == (0, 0)
                ),
                None,
            )
            wanted = tuple((one["role"], one["content"]) for one in row["prompt"])
            if said is not None and said != wanted:
                raise UserError(
                    f"the prompt of problem {row['problem']!r} is not that of the training set: its run had other "
                    "templates. Give the --prompts FOLDER that it had, or the version of evolve-llm that made the set"
                )

    def _read(self, path: Path, problems: Sequence[Problem]) -> None:
        """The chains of the run, and which are copies of which."""
        self._chains, self._copies = [], {}
        with Store.open_to_read(path) as store:
            for order in range(len(problems)):
                place, number = divmod(order, self.settings.rollouts)
                last = {one.uid for one in store.populations(order)[-1].members}
                known: dict[str, int] = {}
                for one in sorted(store.candidates(order), key=lambda one: (one.generation, one.slot)):
                    known[one.uid] = len(self._chains)
                    if one.copied and one.parents:
                        self._copies[known[one.uid]] = known[one.parents[0]]
                    self._chains.append(
                        Chain(place, number, one.uid, one.generation, one.parents, None, one.uid in last)
                    )

    def _told(self, problems: Sequence[Problem], model: TrainedModel) -> dict[str, Any]:
        """The rows of the step."""
        by_chain = {
            (int(problem.split("/")[0]), int(problem.split("/")[1]), f"{at.generation}.{at.slot}"): one
            for (problem, at), one in model.replies.items()
            if at.purpose == "vary"
        }
        found: list[tuple[int, Sampled]] = []
        for problem in range(len(problems) // self.settings.rollouts):
            some = [place for place, one in enumerate(self._chains) if one.problem == problem]
            some.sort(key=lambda place: self._chains[place].generation)
            rows = [
                (place, by_chain[key])
                for place in some
                if (key := (problem, self._chains[place].population, self._chains[place].uid)) in by_chain
            ]
            if not rows:
                raise UserError(
                    f"no chain of problem {problems[problem * self.settings.rollouts].id!r} could be sampled"
                )
            filler = (NOBODY, rows[0][1])
            found += [*rows, *[filler] * (self.settings.replies_each - len(rows))]
        self._places = [place for place, _ in found]
        live = [place != NOBODY for place in self._places]
        logprobs = None if found[0][1].logprobs is None else [one.logprobs for _, one in found]
        return {
            "prompt_ids": [one.prompt_ids for _, one in found],
            "completion_ids": [one.completion_ids for _, one in found],
            "logprobs": logprobs,
            "env_mask": [
                [int(kept)] * len(one.completion_ids) for kept, (_, one) in zip(live, found, strict=True)
            ],
            "chain": list(self._places),
            "kind": [self._kind(place) for place in self._places],
            "group": [self._group(place) for place in self._places],
        }

    def _kind(self, place: int) -> str:
        return "aggregation" if place != NOBODY and self._chains[place].parents else "standard"

    def _group(self, place: int) -> str:
        one = self._chains[place]
        return "" if place == NOBODY else f"{one.problem}/{one.generation}"

    def reward(self, value: Value, columns: dict[str, Any]) -> list[float | None]:
        """The values of the step's chains in the order of its rows, from a function that values replies."""
        kept = [row for row, place in enumerate(self._places) if place != NOBODY]
        picked = {
            name: [some[row] for row in kept]
            for name, some in columns.items()
            if isinstance(some, list) and len(some) == len(self._places)
        }
        values: list[float | None] = [None] * len(self._places)
        for row, one in zip(kept, value(**picked), strict=True):
            values[row] = one
            self._chains[self._places[row]] = replace(self._chains[self._places[row]], value=one)
        for copy, whole in sorted(self._copies.items()):
            self._chains[copy] = replace(self._chains[copy], value=self._chains[whole].value)
        found = advantages(self._chains, self.settings.credit, self.settings.pass_k or self.preset.parents)
        self._advantages = [0.0 if place == NOBODY else found[place] for place in self._places]
        self.end = mean_end(self._chains)
        return values

    def advantages(self) -> list[float]:
        """The advantage of each row of the step, once it was rewarded."""
        return list(self._advantages)
