"""The prompts of a training set: rendered by the operators, templates and carry of the run itself, and held against it.

A run keeps a digest of every prompt its model was asked. Before a prompt is written here, the run's own prompts of
that problem are made again and compared with these digests: what is trained on is what is asked at test time.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evolve_llm.backends.base import Backend
from evolve_llm.backends.tokens import estimate_prompt_tokens
from evolve_llm.engine.calling import Tokens, prompt_digest
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import OperatorError, UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Prompt
from evolve_llm.nouns.seeding import derive
from evolve_llm.scheme.applying import conversation
from evolve_llm.scheme.carry import Carry, Read
from evolve_llm.scheme.declarations import Variation, declaration, name_of
from evolve_llm.scheme.operator import Copy
from evolve_llm.scheme.preset import Preset, load_preset
from evolve_llm.scheme.scheme import Scheme
from evolve_llm.scheme.templates import check_prompts
from evolve_llm.scheme.toolbox import build
from evolve_llm.train.source import Source, Told

Operator = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """A prompt with the candidates that stand in it, in its order. ``tokens`` is None where nobody could count."""

    prompt: Prompt
    parents: tuple[str, ...]
    tokens: int | None


async def _untold(_: str) -> None:
    return None


class Prompter:
    """Makes standard and aggregation prompts as the run made them.

    ``backend``, where given, is open: it counts tokens and says where they start. ``window`` bounds prompt and reply.
    """

    def __init__(
        self, scheme: Scheme, aggregate: Operator, seed: int, window: int | None, backend: Backend | None
    ) -> None:
        self.scheme = scheme
        self.aggregate = aggregate
        self.init: Operator = scheme.toolbox.init
        self.window = window
        self.backend = backend
        self.max_tokens = scheme.preset.sampling.max_tokens
        self._seed = seed
        self._carry: Carry = scheme.preset.carry.carry()
        self._tokens = None if backend is None else Tokens(backend, self.max_tokens, window)
        self._by_name = {name_of(self.init): self.init}
        for choice in scheme.choices:
            operator = getattr(scheme.toolbox, choice.alias)
            self._by_name.setdefault(name_of(operator), operator)

    @property
    def takes(self) -> int | None:
        """How many parents the aggregation takes; None for any number."""
        return declaration(Variation, self.aggregate).arity

    async def read(self, parent: Candidate) -> Read:
        """A candidate as its children read it."""
        if self._carry.leaves(parent):
            return Read(parent)
        starts = _untold if self._tokens is None else self._tokens.starts
        return await self._carry.read(parent, self.max_tokens, starts)

    async def standard(self, problem: Problem) -> Shown:
        """The prompt of generation 0. Raises UserError where it leaves no room for a reply."""
        prompt = rendered(self.init, problem, [], lambda step: self._draws(problem, 0, 0, step))
        if prompt is None:
            raise UserError(f"variation {name_of(self.init)!r} copies instead of asking; it makes no prompt")
        return Shown(prompt, (), await self._fitting(problem, prompt, 0))

    async def group(
        self, problem: Problem, parents: Sequence[Candidate], draw: tuple[int, int]
    ) -> Shown | None:
        """The aggregation prompt of these candidates, in this order; None where the operator asks nothing.

        ``draw`` (generation and number of the group) seeds an operator that draws. Candidates of whom nothing is to
        be read are left out, and so are the last ones where the run's carry drops them. Raises UserError where the
        prompt leaves no room for a reply.
        """
        read = [one for one in [await self.read(parent) for parent in parents] if not one.nothing]
        while read:
            prompt = rendered(
                self.aggregate,
                problem,
                [one.parent for one in read],
                lambda step: self._draws(problem, *draw, step),
            )
            if prompt is None:
                return None
            drops = self._carry.policy == "drop" and self.window is not None
            if drops and await self._count(prompt) + self.max_tokens > (self.window or 0):
                read.pop()
                continue
            tokens = await self._fitting(problem, prompt, len(read))
            return Shown(prompt, tuple(one.parent.uid for one in read), tokens)
        return None

    def own_words(self, problem: Problem) -> str:
        """What the templates say by themselves: both prompts with nothing in the place of what is the problem's.

        Empty where an operator cannot make a prompt of nothing.
        """
        empty = replace(problem, question="", metadata=_blank(problem.metadata), reference=None)
        number = self.takes or 2
        parents = [Candidate(problem.id, 0, slot, "") for slot in range(number)]
        words = []
        for operator, given in ((self.init, []), (self.aggregate, parents)):
            with contextlib.suppress(UserError, OperatorError):
                prompt = rendered(operator, empty, given, lambda step: self._draws(empty, 0, 0, step))
                words += [] if prompt is None else [message.content for message in prompt.messages]
        return "\n".join(words)

    def _draws(self, problem: Problem, generation: int, slot: int, step: int) -> int:
        return derive(self._seed, problem.id, generation, slot, "render", step)

    async def _count(self, prompt: Prompt) -> int:
        return (
            estimate_prompt_tokens(prompt)
            if self.backend is None
            else await self.backend.count_tokens(prompt)
        )

    async def _fitting(self, problem: Problem, prompt: Prompt, candidates: int) -> int | None:
        """The tokens of a prompt. Raises UserError where it leaves no room for a reply."""
        tokens = await self._count(prompt)
        if self.window is not None and tokens + self.max_tokens > self.window:
            what = f"the prompt of problem {problem.id!r} with {candidates} candidate(s) has "
            how = (
                f"{tokens} tokens" if self.backend is not None else f"up to {tokens} tokens (estimated high)"
            )
            ways = "fewer candidates (--k)" if candidates else "a larger window"
            exact = "" if self.backend is not None else ", or --model to have them counted exactly"
            raise UserError(
                f"{what}{how}, which with {self.max_tokens} for the reply is more than the model's window of "
                f"{self.window}; write {ways}{exact}"
            )
        return None if self.backend is None else tokens

    async def verify(self, told: Told, *, all_children: bool = False) -> int:
        """Make the run's own prompts again and hold them against what its model was asked; returns how many.

        One child of each generation is tried, or every one. Raises UserError at the first that differs.
        """
        checked = 0
        for child in self._children(told, all_children):
            stored = told.recalled.get(Address(child.generation, child.slot, "vary", 0))
            operator = self._by_name.get(child.operator)
            if stored is None or operator is None:
                continue
            read = [(await self.read(told.born[uid])).parent for uid in child.parents]
            seed = self._seed_of(told.problem, child)
            made = rendered(operator, told.problem, read, seed, several=True)
            if made is None:
                continue
            if prompt_digest(made) != stored.prompt:
                raise UserError(
                    f"problem {told.problem.id!r}, candidate {child.uid}: the prompt made here is not the one that "
                    "the run's model was asked. An operator or a template has changed since the run, or its "
                    "--prompts FOLDER is missing here"
                    + ("" if self.backend else ", or chains were cut by tokens: give --model")
                )
            checked += 1
        return checked

    def _seed_of(self, problem: Problem, child: Candidate) -> Callable[[int], int]:
        return lambda step: self._draws(problem, child.generation, child.slot, step)

    def _children(self, told: Told, everyone: bool) -> Iterator[Candidate]:
        seen: set[int] = set()
        for one in told.born.values():
            known = all(uid in told.born for uid in one.parents)
            if one.copied or not known or one.operator not in self._by_name or not one.text_tokens:
                continue
            if everyone or one.generation not in seen:
                seen.add(one.generation)
                yield one


def rendered(
    operator: Operator,
    problem: Problem,
    parents: Sequence[Candidate],
    seed: Callable[[int], int],
    *,
    several: bool = False,
) -> Prompt | None:
    """The prompt that an operator makes at once of the public problem and its parents; None where it copies one.

    An operator that asks the model on the way raises UserError; with ``several``, its first prompt is given if it
    is a call of the child itself.
    """
    asked = conversation(operator, problem.public(), list(parents), seed=seed)
    try:
        first = next(asked)
    except StopIteration as stop:
        return None if isinstance(stop.value, Copy) else stop.value
    asked.close()
    if several:
        return first if isinstance(first, Prompt) else None
    raise UserError(
        f"variation {name_of(operator)!r} asks the model several times for one child; a training set needs an operator "
        "that makes its prompt at once: give --preset rsa"
    )


def scheme_of(source: Source, preset: str | None, prompts: Path | None) -> Scheme:
    """The run's preset made runnable again, or another one whose prompts are wanted.

    Raises UserError where the templates are not those of the run.
    """
    chosen = (
        Preset.from_plain(source.config["preset"], "the run's preset")
        if preset is None
        else load_preset(preset)
    )
    if preset is not None:  # lengths and carry are the run's: its model is trained for its use
        chosen = chosen.override({"sampling": source.config["preset"]["sampling"]})
    scheme = build(chosen, prompts)
    digest = check_prompts(scheme.templates, source.run.problems())
    if preset is None and digest != source.config["prompts"]:
        raise UserError(
            f"the prompt templates are not those of the run {source.path}; give the --prompts FOLDER that the run had, "
            "or the version of evolve-llm that made it"
        )
    return scheme


def aggregation_of(scheme: Scheme) -> Operator:
    """The first operator of a scheme that takes several parents. Raises UserError where it has none."""
    for choice in scheme.choices:
        operator: Operator = getattr(scheme.toolbox, choice.alias)
        arity = declaration(Variation, operator).arity
        if arity is None or arity > 1:
            return operator
    raise UserError(
        f"the preset {scheme.preset.name!r} of the run has no operator that takes several parents; give --preset rsa "
        "to make the aggregation prompts as RSA does"
    )


def _blank(value: Any) -> Any:
    """JSON with every text emptied."""
    if isinstance(value, Mapping):
        return {key: _blank(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_blank(inner) for inner in value]
    return "" if isinstance(value, str) else value


_SHORTEST = 4


def reference_texts(reference: Any) -> list[str]:
    """The texts in a reference that are long enough to be told from chance, and are more than a number."""
    if isinstance(reference, dict):
        return [text for value in reference.values() for text in reference_texts(value)]
    if isinstance(reference, list | tuple):
        return [text for value in reference for text in reference_texts(value)]
    text = str(reference).strip()
    return [text] if isinstance(reference, str) and len(text) >= _SHORTEST else []


def leak(prompt: Prompt, problem: Problem, candidates: Sequence[str], own_words: str) -> str | None:
    """A text of the reference that stands in a prompt outside of the question and the candidates, None if none does.

    ``own_words`` are the templates' own: what stands in the prompt of another problem does not come from this one.
    """
    said = "\n".join(message.content for message in prompt.messages)
    for shown in sorted((problem.question, *candidates), key=len, reverse=True):
        if shown.strip():
            said = said.replace(shown, "\0").replace(shown.strip(), "\0")
    for text in reference_texts(problem.reference):
        found = re.search(rf"(?<!\w){re.escape(text)}(?!\w)", said)
        if found is not None and text not in own_words:
            return text
    return None
