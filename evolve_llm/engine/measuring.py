"""What one problem's candidates are worth: the classes of their answers, their verdicts, their fitness."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from evolve_llm.engine.breeding import Breeder
from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.candidate import Candidate, Fitness
from evolve_llm.nouns.errors import BudgetReached
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion, Prompt
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.scheme import applying
from evolve_llm.scheme.scheme import Scheme


class Measuring:
    """Measures the candidates of one problem; ``problem`` is the whole one, with its reference.

    ``refused``: the budget did not allow a call that the fitness wanted, whatever the fitness made of that.
    """

    def __init__(self, breeder: Breeder, problem: Problem, scheme: Scheme, grading: GradingPool) -> None:
        self.breeder = breeder
        self.problem = problem
        self.scheme = scheme
        self.grading = grading
        self.refused = False
        self._asked: dict[str, int] = {}  # calls about each candidate so far
        self._calls: set[asyncio.Task[Completion | None]] = set()

    async def classify(self, candidates: Sequence[Candidate]) -> None:
        """Give candidates the class of their answer."""
        unknown = [one for one in candidates if one.answer is not None and one.answer_class is None]
        answers = list({one.answer for one in unknown if one.answer is not None})
        forms = await asyncio.gather(*(self.grading.canonical(self.problem, one) for one in answers))
        classes = dict(zip(answers, forms, strict=True))
        for one in unknown:
            if one.answer is not None:
                one.answer_class = classes[one.answer]

    async def verdicts(self, members: Sequence[Candidate]) -> dict[str, Verdict]:
        """The verdicts by uid; none where the problem has no reference. A failed candidate has none."""
        if self.problem.grader is None or self.problem.reference is None:
            return {}
        live = [one for one in members if not one.failed]
        answers = list({one.answer for one in live})
        graded = await asyncio.gather(*(self.grading.grade(self.problem, answer) for answer in answers))
        found = dict(zip(answers, graded, strict=True))
        return {one.uid: found[one.answer] for one in live}

    async def evaluate(self, candidates: Sequence[Candidate]) -> None:
        """Give the candidates that did not fail their fitness, where the scheme has one."""
        live = [one for one in candidates if not one.failed]
        for one, fitness in zip(live, await self.fitness(live), strict=False):
            one.fitness = fitness

    async def fitness(self, live: Sequence[Candidate]) -> list[Fitness]:
        """The fitness of candidates that did not fail; an empty list where the scheme has none."""
        evaluate = self.scheme.operator("evaluate")
        if evaluate is None or not live:
            return []
        verdicts = await self.verdicts(live) if self.scheme.oracle else None
        return await applying.measure(evaluate, self.breeder.problem, list(live), self.ask, verdicts=verdicts)

    def ask(self, candidate: Candidate, prompt: Prompt) -> asyncio.Task[Completion | None]:
        """See ``operator.Ask``: the call's number is taken now, its answer comes later."""
        call = self._asked.get(candidate.uid, 0)
        self._asked[candidate.uid] = call + 1
        address = Address(candidate.generation, candidate.slot, "evaluate", call)
        asked = asyncio.create_task(self._answer(candidate, address, prompt))
        self._calls.add(asked)
        asked.add_done_callback(self._ended)
        return asked

    async def _answer(self, candidate: Candidate, address: Address, prompt: Prompt) -> Completion | None:
        breeder = self.breeder
        try:
            outcome = await breeder.caller(breeder.place, self.problem.id, address, prompt, breeder.recalled)
        except BudgetReached:
            self.refused = True
            raise
        if not isinstance(outcome, Completion):
            return None
        spent = outcome.prompt_tokens + outcome.completion_tokens
        candidate.evaluation_tokens += spent
        breeder.spent += spent
        return outcome

    def _ended(self, call: asyncio.Task[Completion | None]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # a fitness may have left before: what ended the run is told elsewhere

    async def close(self) -> None:
        """End the calls that nobody awaits any more."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
