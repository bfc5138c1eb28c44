"""A stored child's variation asked again: with fewer of its parents, or with them in another order.

What is asked is what the engine would have asked had the other parents failed: the child's own operator is given
those that are left, in order, and a child left with none is sampled afresh. What was said about a parent (``Consult``)
is taken from the run. Each replay has addresses of its own, under a purpose that no request of a run can have, so its
seeds are nobody else's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence

from evolve_llm.engine.calling import Caller, prompt_digest
from evolve_llm.engine.rebuilding import Made
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.errors import EvolveError, OperatorError, RequestError, UserError
from evolve_llm.nouns.outcome import Failure
from evolve_llm.nouns.request import Completion, Prompt
from evolve_llm.nouns.seeding import derive
from evolve_llm.scheme import applying
from evolve_llm.scheme.declarations import name_of
from evolve_llm.scheme.operator import Consult, Copy


def purpose_of(shown: Sequence[int], repeat: int) -> str:
    """The purpose of a replay's addresses: no word, as those of a run's requests are."""
    return f"credit/{'.'.join(map(str, shown))}/{repeat}"


def rehearse(made: Made, shown: Sequence[int], seed: int) -> None:
    """Take a replay to its first prompt. Raises UserError where the operator cannot work with these parents."""
    with contextlib.closing(_steps(made, shown, 0, seed)) as steps:
        try:
            next(steps)
        except StopIteration:
            pass
        except (EvolveError, RequestError) as error:
            raise UserError(
                f"the variation {name_of(made.operator)!r} cannot be asked again with {len(shown)} of its "
                f"{len(made.parents)} parents: {error}"
            ) from error


async def replay(
    made: Made, index: int, shown: Sequence[int], repeat: int, caller: Caller
) -> Completion | Copy | None:
    """The chain that a replay came to, or the parent it copies; None where a call failed.

    ``shown``: the places of the parents in the child's prompt, in the order in which they are shown. ``index``: whose
    turn it is, among all children asked.
    """
    child, calls = made.child, 0
    answer: Completion | RequestError | None = None
    last: Prompt | Copy

    async def ask(prompt: Prompt) -> Completion | Failure:
        address = Address(child.generation, child.slot, purpose_of(shown, repeat), calls)
        return await caller(index, made.problem.id, address, prompt, {})

    with contextlib.closing(_steps(made, shown, repeat, caller.seed)) as steps:
        while True:
            try:
                wanted = steps.send(answer)  # type: ignore[arg-type]  # None starts it
            except StopIteration as stop:
                last = stop.value
                break
            except RequestError:
                return None
            if isinstance(wanted, Consult):
                outcome = _told(made, wanted)
            else:
                outcome = await ask(wanted)
                calls += 1
            answer = RequestError(outcome.reason, outcome.detail) if isinstance(outcome, Failure) else outcome
    if isinstance(last, Copy):
        return last
    outcome = await ask(last)
    return None if isinstance(outcome, Failure) else outcome


def _steps(
    made: Made, shown: Sequence[int], repeat: int, seed: int
) -> Generator[Prompt | Consult, Completion | RequestError, Prompt | Copy]:
    child, purpose = made.child, purpose_of(shown, repeat)

    def drawn(step: int) -> int:
        return derive(seed, made.problem.id, child.generation, child.slot, f"{purpose}/render", step)

    operator = made.operator if shown else made.initial
    return applying.conversation(operator, made.problem, [made.parents[place] for place in shown], seed=drawn)


def _told(made: Made, wanted: Consult) -> Completion | Failure:
    """What was said about a parent when the run was made."""
    address = Address(wanted.about.generation, wanted.about.slot, wanted.purpose, 0)
    stored = made.consulted.get(address)
    if stored is None or stored.prompt != prompt_digest(wanted.prompt):
        raise OperatorError(
            f"variation {name_of(made.operator)!r} asks about parent {wanted.about.uid} of problem "
            f"{made.problem.id!r} what it did not ask in the run"
        )
    return stored.outcome
