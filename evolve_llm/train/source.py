"""The run that a training set is made from: opened, checked, and read problem by problem."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve_llm.analysis.run import Run
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.outcome import Recalled
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion
from evolve_llm.nouns.verdict import Grade
from evolve_llm.record.store import Store
from evolve_llm.session.identity import config_digest


@dataclass(frozen=True, slots=True)
class Told:
    """What a run says of one problem. ``born`` is everybody by uid; ``right`` says who is, of those with a verdict.

    ``members`` are the uids of each generation's population, oldest first. ``recalled`` are the stored outcomes, each
    with the digest of its prompt; empty where texts were not asked for.
    """

    place: int
    problem: Problem
    born: dict[str, Candidate]
    members: tuple[tuple[str, ...], ...]
    right: dict[str, bool]
    recalled: dict[Address, Recalled]

    def pool(self, generation: int) -> list[str]:
        """The members of a generation that can stand in a group: alive, and with a verdict."""
        if generation >= len(self.members):
            return []
        return [uid for uid in self.members[generation] if uid in self.right]


class Source:
    """A finished run whose problems have references. The constructor checks that it is one."""

    def __init__(self, path: str | Path) -> None:
        """Open and check a run directory.

        Raises:
            UserError: It is no run, it is not finished, it has no references or no verdicts, or its problems
                hold pictures.
            StoreError: It is damaged.
        """
        self.run = Run(path)
        self.path = self.run.path
        self.config: dict[str, Any] = self.run.config
        with Store.open_to_read(self.path) as store:
            everything = store.problems()
            finished = len(store.finished())
        if finished < len(everything):
            raise UserError(
                f"the run {self.path} is not finished: {finished} of {len(everything)} problems have their answer; "
                "repeat the command that made it to resume it"
            )
        self.problems = [one for one in everything if one.grader is not None and one.reference is not None]
        self.without_reference = len(everything) - len(self.problems)
        if not self.problems:
            raise UserError(
                f"no problem of the run {self.path} has a reference and a grader, so no reply could be rewarded; "
                "make the run again from a problem set with references"
            )
        pictured = next((one.id for one in self.problems if one.pictures), None)
        if pictured is not None:
            raise UserError(
                f"problem {pictured!r} of the run {self.path} holds pictures; training is on text alone"
            )
        self._places = {one.id: place for place, one in enumerate(everything)}

    @property
    def generations(self) -> int:
        """The most generations that any problem may have: the preset's T."""
        return int(self.config["preset"]["generations"])

    @property
    def window(self) -> int | None:
        """The largest prompt and reply together that the run's model took, in tokens; None if unknown."""
        found = self.run.environment.get("model", {}).get("context_length")
        return int(found) if found else None

    def provenance(self) -> dict[str, Any]:
        """Which run this is: enough to find it, and to tell whether it is the same."""
        digest = hashlib.sha256()
        with (self.path / "run.db").open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return {
            "run": config_digest(self.config),
            "sha256": digest.hexdigest(),
            "model": self.config["model"],
            "preset": self.config["preset"]["name"],
            "seed": self.config["seed"],
            "problems": self.config["problems"],
            "versions": self.run.environment.get("versions", {}),
        }

    def told(self, problems: Sequence[Problem], *, texts: bool) -> Iterator[Told]:
        """What the run says of these problems, one in memory at a time."""
        with Store.open_to_read(self.path) as store:
            for problem in problems:
                place = self._places[problem.id]
                born = {one.uid: one for one in store.candidates(place, texts=texts)}
                verdicts = store.verdicts(place)
                right = {
                    uid: verdicts[one.answer].correct
                    for uid, one in born.items()
                    if not one.failed
                    and one.answer in verdicts
                    and verdicts[one.answer].grade is not Grade.UNGRADED
                }
                members = tuple(
                    tuple(one.uid for one in population.members) for population in store.populations(place)
                )
                recalled = store.recall(place) if texts else {}
                if texts:
                    restore_lengths(born, recalled)
                yield Told(place, problem, born, members, right, recalled)


def restore_lengths(born: dict[str, Candidate], recalled: dict[Address, Recalled]) -> None:
    """Give candidates the tokens of their chains, which a run keeps with its calls; a copy has its parent's."""
    last: dict[tuple[int, int], int] = {}
    for address, stored in sorted(recalled.items()):
        if address.purpose in ("vary", "finish") and isinstance(stored.outcome, Completion):
            last[address.generation, address.slot] = stored.outcome.completion_tokens
    for one in sorted(born.values(), key=lambda one: (one.generation, one.slot)):
        if one.copied and one.parents and one.parents[0] in born:
            one.text_tokens = born[one.parents[0]].text_tokens
        else:
            one.text_tokens = last.get((one.generation, one.slot), 0)
