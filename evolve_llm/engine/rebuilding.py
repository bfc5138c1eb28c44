"""The prompts of a stored candidate, made again from what its run keeps.

A run keeps the digest of every prompt and not its text, which would be K chains a child. The operator that made a
candidate makes its prompts again from the same parents and the same completions, and each is held against the
digest of what was asked: what has that digest is, character for character, what the model was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evolve_llm.engine.calling import prompt_digest
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import EvolveError, RequestError, UserError
from evolve_llm.nouns.outcome import Failure, Recalled
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion, Prompt
from evolve_llm.nouns.seeding import derive, rng_scope
from evolve_llm.record.paging import PagedReader
from evolve_llm.scheme import applying
from evolve_llm.scheme.declarations import name_of
from evolve_llm.scheme.operator import Consult, Final
from evolve_llm.scheme.preset import Preset
from evolve_llm.scheme.scheme import Scheme
from evolve_llm.scheme.toolbox import build

Operator = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a candidate. ``exact``: the prompt has the digest of what the model was sent."""

    address: Address
    prompt: Prompt
    exact: bool


@dataclass(frozen=True, slots=True)
class Made:
    """How a child was made, ready to be made again from other parents.

    ``parents`` are as its operator read them, in the order of its prompt. ``initial`` makes a child that is left
    without parents. ``consulted`` has what was said about a parent (``Consult``). ``calls``: how many it took.
    ``exact``: the operator makes of these parents what the model was sent.
    """

    problem: Problem
    child: Candidate
    operator: Operator
    initial: Operator
    parents: tuple[Candidate, ...]
    consulted: Mapping[Address, Recalled]
    calls: int
    exact: bool


def prompts_of(reader: PagedReader, config: Mapping[str, Any], place: int, uid: str) -> list[Asked]:
    """Every prompt that was sent to make a candidate, in the order of the requests; none for a copy.

    ``config`` is the run's. No code is imported that only the run names: a run directory may be anybody's. Raises
    UserError where there is no such candidate, and where an operator of the run is not an installed one.
    """
    scheme = installed(config)
    problem = Problem(**reader.problem(place)).public()
    recalled = reader.recall(place)
    born = {one.uid: one for one in reader.candidates(place, texts=True)}
    child = born.get(uid)
    if child is None:
        raise UserError(f"problem {problem.id!r} has no candidate {uid!r}")
    if child.copied:
        return []
    again = _Again(scheme, problem, child, recalled, config["seed"])
    if child.operator == name_of(scheme.toolbox.finish):
        members = dict(reader.members(place))[child.generation]
        return again.concluded([again.read(born[name]) for name in members if not born[name].failed])
    return again.varied([again.read(born[name]) for name in child.parents])[1]


def made_by(
    reader: PagedReader, config: Mapping[str, Any], scheme: Scheme, place: int, uids: Sequence[str]
) -> list[Made]:
    """How each of these children of one problem was made by a variation; ``scheme`` is ``installed(config)``."""
    problem = Problem(**reader.problem(place)).public()
    recalled = reader.recall(place)
    born = {one.uid: one for one in reader.candidates(place, texts=True)}
    found = []
    for uid in uids:
        child = born[uid]
        again = _Again(scheme, problem, child, recalled, config["seed"])
        parents = [again.read(born[name]) for name in child.parents]
        operator, asked = again.varied(parents)
        own = [one for one in asked if one.address.purpose == "vary"]
        others = {one.address: recalled[one.address] for one in asked if one not in own and one.exact}
        exact = bool(own) and all(one.exact for one in asked)
        initial = scheme.toolbox.init
        found.append(Made(problem, child, operator, initial, tuple(parents), others, len(own), exact))
    return found


def installed(config: Mapping[str, Any], prompts: Path | None = None) -> Scheme:
    """The scheme of a run, its templates replaced by those of a folder. Raises UserError for an operator that only
    the run names."""
    preset = Preset.from_plain(config["preset"], "the run's preset")
    specs = [
        preset.init,
        preset.truncate,
        preset.select,
        *preset.vary,
        preset.evaluate,
        preset.replace,
        preset.finish,
        preset.adapt,
    ]
    for spec in (*specs, *preset.stop):
        if spec is not None and (not isinstance(spec.operator, str) or ":" in spec.operator):
            raise UserError(
                f"the operator {spec.operator!r} is named by its module, and no code that only a run names is "
                "imported to look at it: install it as a plug-in, and its prompts can be shown"
            )
    return build(preset, prompts)


@dataclass(frozen=True, slots=True)
class _Again:
    scheme: Scheme
    problem: Problem
    child: Candidate
    recalled: Mapping[Address, Recalled]
    seed: int

    def read(self, parent: Candidate) -> Candidate:
        """The parent as its children read it; tails by characters, since no engine is here to count tokens."""
        preset = self.scheme.preset
        written = Address(parent.generation, parent.slot, "vary", 0)
        known = [one.outcome for at, one in self.recalled.items() if at[:3] == written[:3]]
        lengths = [one.completion_tokens for one in known if isinstance(one, Completion)]
        counted = replace(parent, text_tokens=lengths[-1] if lengths else 0)

        async def untold(_: str) -> None:
            return None

        return asyncio.run(preset.carry.carry().read(counted, preset.sampling.max_tokens, untold)).parent

    def varied(self, parents: Sequence[Candidate]) -> tuple[Operator, list[Asked]]:
        """The variation and its requests: the first with this name whose prompts are those that were sent."""
        aliases = ("init", *(choice.alias for choice in self.scheme.choices))
        operators = [getattr(self.scheme.toolbox, alias) for alias in aliases]
        named = [one for one in operators if name_of(one) == self.child.operator]
        if not named:
            raise UserError(f"the run's preset has no variation {self.child.operator!r} here")
        tries = [(operator, self._conversation(operator, parents)) for operator in named]
        return next((one for one in tries if one[1] and all(asked.exact for asked in one[1])), tries[0])

    def concluded(self, members: Sequence[Candidate]) -> list[Asked]:
        """The one request of a finish operator."""
        finish, index = self.scheme.toolbox.finish, self.child.generation
        with rng_scope(derive(self.seed, self.problem.id, index, 0, "finish")):
            answer = applying.choose(finish, self.problem, list(members))
        address = Address(index, self.child.slot, "vary", 0)
        return [self._asked(address, answer.prompt)] if isinstance(answer, Final) else []

    def _conversation(self, operator: Operator, parents: Sequence[Candidate]) -> list[Asked]:
        child, found, calls = self.child, [], 0

        def seed(step: int) -> int:
            return derive(self.seed, self.problem.id, child.generation, child.slot, "render", step)

        with contextlib.closing(applying.conversation(operator, self.problem, parents, seed=seed)) as steps:
            answer: Completion | RequestError | None = None
            while True:
                try:
                    wanted = steps.send(answer)  # type: ignore[arg-type]  # None starts it
                except StopIteration as stop:
                    if isinstance(stop.value, Prompt):
                        found.append(
                            self._asked(Address(child.generation, child.slot, "vary", calls), stop.value)
                        )
                    return found
                except (EvolveError, RequestError):
                    return found  # it ended in a call that failed
                if isinstance(wanted, Consult):
                    about = wanted.about
                    asked = self._asked(
                        Address(about.generation, about.slot, wanted.purpose, 0), wanted.prompt
                    )
                else:
                    asked = self._asked(Address(child.generation, child.slot, "vary", calls), wanted)
                    calls += 1
                found.append(asked)
                stored = self.recalled.get(asked.address)
                if stored is None:
                    return found
                outcome = stored.outcome
                answer = (
                    RequestError(outcome.reason, outcome.detail) if isinstance(outcome, Failure) else outcome
                )

    def _asked(self, address: Address, prompt: Prompt) -> Asked:
        stored = self.recalled.get(address)
        return Asked(address, prompt, stored is not None and stored.prompt == prompt_digest(prompt))
