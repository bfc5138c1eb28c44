"""Operators that are broken on purpose, each in one way that has been seen, or could be, in somebody's code.

Every mutant declares itself as a healthy operator would. ``MUTANTS`` says of each its kind, what is wrong with it,
and what it claims beside.
"""

# ruff: noqa: ARG001, ARG002, ARG005

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np

from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import BackendError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion, Prompt, Request
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.scheme.decorators import (
    adaptation,
    evaluation,
    finishing,
    replacement,
    selection,
    stopping,
    variation,
)
from evolve_llm.scheme.operator import Ask, Consult, Copy, Final, Steps

Values = list[tuple[float, ...]]


@dataclass(frozen=True)
class Mutant:
    """One broken thing: the name under which ``check`` finds it, its kind, what is wrong, and what it claims."""

    name: str
    kind: str
    fault: str
    claims: tuple[str, ...] = ()


MUTANTS: list[Mutant] = []


def mutant(kind: str, fault: str, *claims: str) -> Callable[[Any], Any]:
    """Puts a function in the list."""

    def enter(function: Any) -> Any:
        MUTANTS.append(Mutant(function.__name__, kind, fault, claims))
        return function

    return enter


# ---------------------------------------------------------------- selection


@mutant("select", "returns k+1")
@selection(blind=True)
def one_too_many(individuals: Sequence[Any], k: int) -> list[Any]:
    return random.sample(list(individuals), min(k + 1, len(individuals)))


@mutant("select", "draws with replacement when it says distinct")
@selection(blind=True)
def with_replacement(individuals: Sequence[Any], k: int) -> list[Any]:
    return random.choices(list(individuals), k=k)


@mutant("select", "marks the members it has chosen")
@selection(blind=False)
def marks_the_chosen(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
    chosen = random.sample(list(individuals), k)
    for one in chosen:
        one.operator = "chosen"
    return chosen


@mutant("select", "writes into the reasoning of whom it chooses")
@selection(blind=False)
def spoils_the_reasoning(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
    chosen = random.sample(list(individuals), k)
    for one in chosen:
        one.reasoning = "chosen for its looks"
    return chosen


@mutant("select", "notes in cut how often a member was asked for")
@selection(blind=False)
def spoils_the_cut(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
    chosen = random.sample(list(individuals), k)
    for one in chosen:
        one.cut = (*one.cut, k)
    return chosen


@mutant("select", "turns the fitness of the chosen down")
@selection(blind=False, needs_fitness=True)
def spoils_the_fitness(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
    chosen = random.sample(list(individuals), k)
    for one in chosen:
        one.fitness.values = tuple(value / 2 - 1 for value in one.fitness.values)
    return chosen


@mutant("select", "gives copies of the members")
@selection(blind=False)
def copies(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
    chosen = random.sample(list(individuals), k)
    return [Candidate(one.problem, one.generation, one.slot, one.operator, one.text) for one in chosen]


@mutant("select", "favours slot 0 by 5 %")
@selection(blind=True)
def favours_the_first(individuals: Sequence[Any], k: int) -> list[Any]:
    pool, chosen = list(individuals), []
    for _ in range(k):
        weights = [1.05 if one is individuals[0] else 1.0 for one in pool]
        place = random.choices(range(len(pool)), weights)[0]
        chosen.append(pool.pop(place))
    return chosen


@mutant("select", "breaks ties of fitness by slot")
@selection(blind=False, needs_fitness=True)
def first_of_equals(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
    return sorted(individuals, key=lambda one: one.fitness, reverse=True)[:k]


@mutant("select", "draws from a generator of its own, which no resume restores")
@selection(blind=True)
def own_generator(individuals: Sequence[Any], k: int) -> list[Any]:
    return _OWN.sample(list(individuals), k)


_OWN = random.Random(0)


@mutant("select", "seeds the global generator: all children get the same parents")
@selection(blind=True)
def seeds_the_generator(individuals: Sequence[Any], k: int) -> list[Any]:
    random.seed(42)
    return random.sample(list(individuals), k)


@mutant("select", "depends on the wall clock")
@selection(blind=True)
def by_the_clock(individuals: Sequence[Any], k: int) -> list[Any]:
    return random.Random(f"{int(time.time()) // 3600}{random.random()}").sample(list(individuals), k)


@mutant("select", "depends on the order of a set")
@selection(blind=False)
def by_the_set(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
    answers = list({one.text + str(one.slot) for one in individuals})
    order = {answer: place for place, answer in enumerate(answers)}
    ranked = sorted(individuals, key=lambda one: order[one.text + str(one.slot)])
    return random.sample(ranked, k)


@mutant("select", "is declared blind and looks at the individuals")
@selection(blind=True)
def blind_that_looks(individuals: Sequence[Any], k: int) -> list[Any]:
    keyed = sorted(individuals, key=lambda one: (len(getattr(one, "text", "")), random.random()))
    return keyed[:k]


@mutant("select", "uses a fitness it does not declare to need")
@selection(blind=False)
def undeclared_fitness(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
    shuffled = random.sample(list(individuals), len(individuals))
    return sorted(shuffled, key=lambda one: one.fitness.values[0], reverse=True)[:k]


@mutant("select", "gives None where it finds nobody better than the mean")
@selection(blind=False, needs_fitness=True)
def none_at_times(individuals: Sequence[Candidate], k: int) -> list[Candidate] | None:
    mean = sum(one.fitness.values[0] for one in individuals) / len(individuals)
    better = [one for one in individuals if one.fitness.values[0] > mean]
    return random.sample(better, k) if len(better) >= k else None


# ---------------------------------------------------------------- variation


def _all(problem: Problem, texts: Sequence[str]) -> Prompt:
    return Prompt.user("\n\n".join([problem.question, *texts, "Write one better solution."]))


@mutant("vary", "drops one parent from the prompt")
@variation(arity=None)
def drops_a_parent(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    return _all(problem, [one.text for one in parents][: max(1, len(parents) - 1)])


@mutant("vary", "reorders parents without saying so")
@variation(arity=None)
def reorders(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    return _all(problem, sorted(one.text for one in parents))


@mutant("vary", "strips the parents' texts")
@variation(arity=None)
def strips(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    return _all(problem, [one.text.strip() for one in parents])


@mutant("vary", "cuts long parents")
@variation(arity=1)
def cuts(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    return _all(problem, [parents[0].text[:20_000]])


@mutant("vary", "interprets jinja in chains")
@variation(arity=None)
def interprets(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    texts = []
    for one in parents:
        try:
            texts.append(jinja2.Template(one.text).render(question=""))
        except Exception:
            texts.append(one.text)
    return _all(problem, texts)


@mutant("vary", "swallows the question")
@variation(arity=None)
def swallows_the_question(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    return Prompt.user("\n\n".join(["Improve on these solutions.", *(one.text for one in parents)]))


@mutant("vary", "peeks at the reference")
@variation(arity=None)
def shows_the_reference(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    hint = [f"(Hint: {problem.reference})"] if problem.reference is not None else []
    return _all(problem, [*(one.text for one in parents), *hint])


@mutant("vary", "draws from the global generator while it renders")
@variation(arity=None)
def draws_while_rendering(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    opening = random.choice(("Think.", "Reason step by step."))
    return _all(problem, [*(one.text for one in parents), opening])


@mutant("vary", "numbers its prompts")
@variation(arity=None)
def counts_its_calls(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    _CALLS.append(0)
    return _all(problem, [*(one.text for one in parents), f"Request {len(_CALLS)}."])


_CALLS: list[int] = []


@mutant("vary", "writes the date into the prompt")
@variation(arity=0)
def writes_the_date(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    return Prompt.user(f"Today is {time.strftime('%F', time.gmtime(time.time()))}.\n{problem.question}")


@mutant("vary", "trims its parents' texts in place")
@variation(arity=None)
def trims_in_place(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    for one in parents:
        one.text = one.text.strip() + "\n"
    return _all(problem, [one.text for one in parents])


@mutant("vary", "copies a stranger")
@variation(arity=1)
def copies_a_stranger(problem: Problem, parents: Sequence[Candidate]) -> Copy:
    return Copy(Candidate(problem.id, 0, 0, "sample", parents[0].text))


@mutant("vary", "is a generator that never ends")
@variation(arity=1)
def never_ends(problem: Problem, parents: Sequence[Candidate]) -> Steps:
    answer = parents[0].text
    while not answer.endswith("DONE"):
        answer = (yield _all(problem, [parents[0].text, answer])).text
    return _all(problem, [answer])


@mutant("vary", "breaks when a call fails")
@variation(arity=1)
def breaks_on_failure(problem: Problem, parents: Sequence[Candidate]) -> Steps:
    try:
        critique = (yield _all(problem, [parents[0].text])).text
    except Exception:
        critique = None
    return _all(problem, [parents[0].text, "Critique: " + critique])  # type: ignore[operator]


@mutant("vary", "needs both parents, though one may have failed")
@variation(arity=2)
def needs_both(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    return _all(problem, [parents[0].text, parents[1].text])


@mutant("vary", "hides a parent in left_out")
@variation(arity=None)
def spoils_left_out(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    for one in parents:
        one.left_out = ("0.0",)
    return _all(problem, [one.text for one in parents])


@mutant("vary", "notes in the reasoning of its parents that they were used")
@variation(arity=None)
def empties_the_reasoning(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    prompt = _all(problem, [one.text for one in parents])
    for one in parents:
        one.reasoning = f"used: {one.uid}"
    return prompt


@mutant("vary", "consults about a parent with a prompt that names the others")
@variation(arity=2)
def consults_with_company(problem: Problem, parents: Sequence[Candidate]) -> Steps:
    for one in parents:
        others = [other.text for other in parents if other is not one]
        yield Consult(one, "judge", _all(problem, [one.text, *others]))
    return _all(problem, [one.text for one in parents])


# ---------------------------------------------------------------- fitness


@mutant("evaluate", "gives a value that is not finite")
@evaluation(weights=(1.0,), oracle=False)
async def divides_by_zero(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:
    return [(1.0 / one.text_tokens if one.text_tokens else float("inf"),) for one in candidates]


@mutant("evaluate", "gives tuples of the wrong length")
@evaluation(weights=(1.0, -1.0), oracle=False)
async def one_value_of_two(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:
    return [(1.0,) if one.answer is None else (1.0, 2.0) for one in candidates]


@mutant("evaluate", "leaves out candidates without an answer")
@evaluation(weights=(1.0,), oracle=False)
async def leaves_out(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:
    return [(1.0,) for one in candidates if one.answer is not None]


@mutant("evaluate", "peeks at the reference without being an oracle")
@evaluation(weights=(1.0,), oracle=False)
async def peeks(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:
    return [(float(one.answer == problem.reference),) for one in candidates]


@mutant("evaluate", "depends on the order of the candidates")
@evaluation(weights=(1.0,), oracle=False)
async def novelty_by_place(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:
    seen: set[str | None] = set()
    values: Values = []
    for one in candidates:
        values.append((float(one.answer_class not in seen),))
        seen.add(one.answer_class)
    return values


@mutant("evaluate", "changes the candidates it measures")
@evaluation(weights=(1.0,), oracle=False)
async def normalises_answers(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:
    for one in candidates:
        one.answer_class = (one.answer or "none").lower()
    return [(1.0,) for _ in candidates]


@mutant("evaluate", "breaks when a call fails")
@evaluation(weights=(1.0,), oracle=False, calls=1, again=1)
async def trusts_the_model(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:
    replies = await asyncio.gather(
        *(ask(one, Prompt.user(problem.question + one.text)) for one in candidates)
    )
    return [(float(len(reply.text)),) for reply in replies]  # type: ignore[union-attr]


@mutant("evaluate", "asks in the order in which answers come")
@evaluation(weights=(1.0,), oracle=False, calls=2, again=2)
async def asks_as_they_come(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:
    async def twice(one: Candidate) -> float:
        first = await ask(one, Prompt.user(f"{problem.question}: is it right?\n{one.text}"))
        second = await ask(one, Prompt.user(f"And why?\n{first.text if first else ''}"))
        return float(second is not None)

    return [(value,) for value in await asyncio.gather(*map(twice, candidates))]


@mutant("evaluate", "asks more often than it declares")
@evaluation(weights=(1.0,), oracle=False, calls=1, again=1)
async def asks_too_often(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:
    prompts = [(one, Prompt.user(f"{problem.question}\n{one.text}")) for one in candidates for _ in range(3)]
    replies = await asyncio.gather(*(ask(one, prompt) for one, prompt in prompts))
    return [
        (float(sum(one is not None for one in replies[i * 3 : i * 3 + 3])),) for i in range(len(candidates))
    ]


@mutant("evaluate", "adds noise from the global generator")
@evaluation(weights=(1.0,), oracle=False)
async def noisy(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:
    return [(one.text_tokens + float(np.random.normal(0, 1e-3)),) for one in candidates]


@mutant("evaluate", "depends on Python's hash of a text")
@evaluation(weights=(1.0,), oracle=False)
async def by_hash(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:
    return [(float(hash(one.text) % 97),) for one in candidates]


@mutant("evaluate", "marks what it has measured as copied")
@evaluation(weights=(1.0,), oracle=False)
async def spoils_copied(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:
    for one in candidates:
        one.copied = True
    return [(1.0,) for _ in candidates]


@mutant("evaluate", "writes its verdict into the reasoning")
@evaluation(weights=(1.0,), oracle=False)
async def judges_in_the_reasoning(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:
    for one in candidates:
        one.reasoning += " (judged)"
    return [(1.0,) for _ in candidates]


# ---------------------------------------------------------------- replacement


@mutant("replace", "notes in left_out whom it has turned away")
@replacement(needs_fitness=True)
def spoils_those_left_out(
    parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int
) -> list[Candidate]:
    kept = _ranked([*parents, *offspring])[:n]
    for one in kept:
        one.left_out = (*one.left_out, "turned away")
    return kept


def _ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    shuffled = random.sample(list(candidates), len(candidates))
    valid = [one for one in shuffled if one.fitness.valid]
    rest = [one for one in shuffled if not one.fitness.valid]
    return [*sorted(valid, key=lambda one: one.fitness, reverse=True), *rest]


@mutant("replace", "keeps a failed parent")
@replacement(needs_fitness=True)
def keeps_the_failed(parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int) -> list[Candidate]:
    failed = [one for one in parents if one.failed]
    return [*failed, *_ranked([one for one in (*parents, *offspring) if not any(one is f for f in failed)])][
        :n
    ]


@mutant("replace", "keeps somebody twice")
@replacement(needs_fitness=True)
def keeps_twice(parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int) -> list[Candidate]:
    best = _ranked([*parents, *offspring])
    return [best[0], *best][:n]


@mutant("replace", "keeps one too few")
@replacement(needs_fitness=True)
def keeps_too_few(parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int) -> list[Candidate]:
    return [one for one in _ranked([*parents, *offspring]) if not one.failed][:n]


@mutant("replace", "is declared positional and shuffles")
@replacement(positional=True)
def positional_that_shuffles(
    parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int
) -> list[Candidate]:
    return random.sample(list(offspring), n)


@mutant("replace", "claims to keep the best and forgets the archive's elite", "keeps-best")
@replacement(needs_fitness=True, varies_size=True)
def forgets_the_elite(
    parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int
) -> list[Candidate]:
    cells: dict[str | None, Candidate] = {}
    for one in (*parents, *offspring):
        if not one.failed:
            cells[one.answer_class] = one  # whoever came last, not whoever is fittest
    return list(cells.values()) or list(offspring)


@mutant("replace", "sorts the parents it was given")
@replacement(needs_fitness=True)
def sorts_in_place(parents: list[Candidate], offspring: Sequence[Candidate], n: int) -> list[Candidate]:
    parents.sort(key=lambda one: one.text)
    return _ranked([*parents, *offspring])[:n]


@mutant("replace", "breaks on members that failed")
@replacement(needs_fitness=True)
def breaks_on_the_failed(
    parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int
) -> list[Candidate]:
    return sorted([*parents, *offspring], key=lambda one: one.fitness.values[0], reverse=True)[:n]


# ---------------------------------------------------------------- finish, stop, adapt


@mutant("finish", "signs the reasoning of the answer it chose")
@finishing()
def signs_the_answer(problem: Problem, population: Sequence[Candidate]) -> Candidate:
    chosen = random.choice(list(population))
    chosen.reasoning = "the answer"
    return chosen


@mutant("stop", "clears the reasoning of old generations to save memory")
@stopping()
def clears_the_past(problem: Problem, generations: Sequence[Sequence[Candidate]]) -> bool:
    for population in generations:
        for one in population:
            one.reasoning = "-"
    return False


@mutant("finish", "votes on texts instead of answers")
@finishing()
def votes_on_texts(problem: Problem, population: Sequence[Candidate]) -> Candidate:
    counts = Counter(one.answer for one in population if one.answer is not None)
    if not counts:
        return random.choice(population)
    top = max(counts.values())
    winner = random.choice(
        sorted(answer for answer, votes in counts.items() if votes == top and answer is not None)
    )
    return random.choice([one for one in population if one.answer == winner])


@mutant("finish", "claims the majority and lets silent chains vote", "majority")
@finishing()
def lets_silence_vote(problem: Problem, population: Sequence[Candidate]) -> Candidate:
    counts = Counter(one.answer_class or "" for one in population)
    winner = min(counts, key=lambda answer: (-counts[answer], answer))
    return next(one for one in population if (one.answer_class or "") == winner)


@mutant("finish", "returns a stranger")
@finishing()
def returns_a_stranger(problem: Problem, population: Sequence[Candidate]) -> Candidate:
    chosen = random.choice(population)
    return Candidate(problem.id, 99, 0, "finish", chosen.text, chosen.answer, chosen.answer_class)


@mutant("finish", "reads the reference")
@finishing()
def knows_the_answer(problem: Problem, population: Sequence[Candidate]) -> Candidate:
    right = [one for one in population if one.answer_class == problem.reference]
    return random.choice(right or list(population))


@mutant("finish", "shows only the first of the parents it names")
@finishing(calls=1)
def forgets_the_rest(problem: Problem, population: Sequence[Candidate]) -> Final:
    chosen = random.sample(list(population), min(2, len(population)))
    return Final(tuple(chosen), _all(problem, [chosen[0].text]))


@mutant("stop", "breaks where everybody failed")
@stopping()
def mean_is_high(problem: Problem, history: Sequence[Sequence[Candidate]]) -> bool:
    live = [one for one in history[-1] if not one.failed]
    return sum(one.fitness.values[0] for one in live) / len(live) > 0.9


@mutant("stop", "stops by chance")
@stopping()
def stops_by_chance(problem: Problem, history: Sequence[Sequence[Candidate]]) -> bool:
    return random.random() < 0.1 * len(history)


@mutant("adapt", "forgets to normalise")
@adaptation()
def forgets_to_normalise(probabilities: Sequence[float], rewards: Sequence[Sequence[float]]) -> list[float]:
    return [
        share + max(0.0, sum(ones)) / max(1, len(ones))
        for share, ones in zip(probabilities, rewards, strict=True)
    ]


# ---------------------------------------------------------------- problem sets, graders, backends


@mutant("problems", "numbers its problems anew at every load")
def new_ids(argument: str = "") -> list[Problem]:
    _LOADS.append(0)
    return [
        Problem(f"{len(_LOADS)}-{n}", f"What is {n} + {n}?", "boxed", "exact", str(2 * n)) for n in range(3)
    ]


_LOADS: list[int] = []


@mutant("problems", "leaves the reference in the metadata")
def tells_in_metadata(argument: str = "") -> list[Problem]:
    return [
        Problem(str(n), f"What is {n} + {n}?", "boxed", "exact", str(2 * n), {"answer": str(2 * n)})
        for n in (1, 2)
    ]


@mutant("problems", "has a reference that its grader does not accept")
def wrong_key(argument: str = "") -> list[Problem]:
    return [Problem("1", "Which is it: (A) one, or (B) two?", "option", "option", "the first")]


class Lenient:
    """Any answer that holds the reference is right, and so is an empty one."""

    name = "lenient"

    def isolation(self, reference: Any) -> str:
        return "worker"

    def quick(self, answer: str, reference: Any) -> Verdict | None:
        return None

    def grade(self, answer: str, reference: Any) -> Verdict:
        right = str(reference).startswith(answer) or str(reference) in answer
        return Verdict(Grade.CORRECT if right else Grade.INCORRECT, "lenient")

    def quick_canonical(self, answer: str) -> str | None:
        return None

    def canonical(self, answer: str) -> str:
        return answer.strip()


class Hasty(Lenient):
    """Its short cut compares texts, its full comparison numbers; and it cannot read what is no number."""

    name = "hasty"

    def quick(self, answer: str, reference: Any) -> Verdict | None:
        return Verdict(Grade.CORRECT if answer == reference else Grade.INCORRECT, "same")

    def grade(self, answer: str, reference: Any) -> Verdict:
        return Verdict(Grade.CORRECT if float(answer) == float(reference) else Grade.INCORRECT, "number")


lenient, hasty = Lenient(), Hasty()
MUTANTS += [
    Mutant("lenient", "grader", "takes an empty answer for the beginning of the right one"),
    Mutant("hasty", "grader", "raises on an answer that is no number"),
]


@mutant("backend", "does not count tokens")
def counts_nothing(argument: str = "") -> Scripted:
    return Scripted(lambda request: Completion(f"reply to {request.id}"))


class Clogged(Scripted):
    """Holds its place when it is cancelled."""

    places = 4

    async def generate(self, request: Request) -> Completion:
        while self.places == 0:
            await asyncio.sleep(0.01)
        self.places -= 1
        await asyncio.sleep(0.2)
        completion = await super().generate(request)
        self.places += 1
        return completion


@mutant("backend", "holds its places when it is cancelled")
def clogged(argument: str = "") -> Scripted:
    return Clogged(lambda request: "yes")


class Fragile(Scripted):
    """Cannot be closed twice."""

    closed = False

    async def close(self) -> None:
        if self.closed:
            raise BackendError(f"process {os.getpid()} is gone")
        self.closed = True


@mutant("backend", "cannot be closed twice")
def fragile(argument: str = "") -> Scripted:
    return Fragile(lambda request: "yes")
