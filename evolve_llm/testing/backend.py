"""The contract of ``backends.base``: a life from start to close, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

from evolve_llm.backends.base import Backend
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.errors import RequestError
from evolve_llm.nouns.request import Completion, ModelInfo, Prompt, Request, Sampling
from evolve_llm.testing.wording import broken, shown

Result = TypeVar("Result")


class BackendContract:
    """What the engine asks of every backend.

    Set ``make`` to a function of no arguments that gives a new backend, not started, each time. Where it answers
    a prompt with a text that is known, ``expected`` gives it; where it refuses one for good, ``refused`` is that
    prompt. ``seconds`` is what a request takes, about: the contract waits for a few dozen of them.
    """

    make: ClassVar[Callable[[], Backend]]
    expected: ClassVar[Callable[[str], str] | None] = None
    refused: ClassVar[str | None] = None
    seconds: ClassVar[float] = 1.0

    def test_it_is_a_backend_before_it_is_started(self) -> None:
        """It has all the methods, and an identity that names a model and no address."""
        backend = type(self).make()
        if not isinstance(backend, Backend):
            broken(f"a {type(backend).__name__} lacks methods of evolve_llm.backends.base.Backend")
        if not backend.identity or "http" in backend.identity:
            broken(
                "its identity must say which model answers and not where, but it is "
                f"{shown(backend.identity)}"
            )
        if not backend.capacity >= 1:
            broken(f"its capacity must be at least 1, but it is {shown(backend.capacity)}")

    def test_a_life(self) -> None:
        """Start, several requests at once, each with its own answer and its tokens counted, close twice."""

        async def story() -> None:
            backend = type(self).make()
            info = await backend.start()
            if not isinstance(info, ModelInfo) or not (
                info.context_length is None or info.context_length > 0
            ):
                broken(
                    "start must give a ModelInfo with a possible context length, but it gave "
                    f"{shown(info, 200)}"
                )
            if not all(isinstance(value, str) for pair in info.details.items() for value in pair):
                broken(f"the details of a ModelInfo must be texts, but they are {shown(info.details, 200)}")
            prompts = [f"question {number}" for number in range(6)]
            given = await asyncio.gather(*(backend.generate(_ask(prompt)) for prompt in prompts))
            for prompt, one in zip(prompts, given, strict=True):
                self._answers(prompt, one)
            long, short = Prompt.user("x" * 4000), Prompt.user("x")
            if not await backend.count_tokens(long) > await backend.count_tokens(short) > 0:
                broken("count_tokens must be above 0 and grow with the prompt")
            await backend.close()
            await backend.close()

        self._told(story())

    def test_one_request_that_fails_leaves_the_others_alone(self) -> None:
        """A prompt that can never be answered is a RequestError; the one beside it is answered."""
        if self.refused is None:
            return
        wrong = self.refused

        async def story() -> None:
            backend = type(self).make()
            await backend.start()
            fine, failed = await asyncio.gather(
                backend.generate(_ask("fine")), backend.generate(_ask(wrong)), return_exceptions=True
            )
            if not isinstance(fine, Completion):
                broken(f"beside a request that failed, another gave {shown(fine)}")
            if not isinstance(failed, RequestError) or not failed.reason:
                broken(
                    "a request that cannot be answered must raise RequestError with a reason, but it gave "
                    f"{shown(failed)}"
                )
            await backend.close()

        self._told(story())

    def test_cancelling_frees_what_is_held(self) -> None:
        """Twenty requests are cancelled; the next is answered as if they had never been."""

        async def story() -> None:
            backend = type(self).make()
            await backend.start()
            many = [asyncio.create_task(backend.generate(_ask(f"cancelled {n}"))) for n in range(20)]
            await asyncio.sleep(self.seconds / 3)
            for task in many:
                task.cancel()
            given = await asyncio.gather(*many, return_exceptions=True)
            if not all(isinstance(one, asyncio.CancelledError | Completion) for one in given):
                broken(f"a request that was cancelled must end cancelled, but one gave {shown(given[-1])}")
            try:
                async with asyncio.timeout(20 * self.seconds):
                    self._answers("next", await backend.generate(_ask("next")))
            except TimeoutError:
                broken(
                    "after requests were cancelled, the next one is not answered, because they still hold "
                    "their places"
                )
            await backend.close()

        self._told(story())

    def test_close_is_allowed_at_any_moment(self) -> None:
        """Before the start, twice, and while requests are on their way."""

        async def story() -> None:
            await type(self).make().close()
            busy = type(self).make()
            await busy.start()
            tasks = [asyncio.create_task(busy.generate(_ask(f"unfinished {n}"))) for n in range(4)]
            await asyncio.sleep(self.seconds / 3)
            await busy.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await busy.close()

        self._told(story())

    def _answers(self, prompt: str, one: object) -> None:
        if not isinstance(one, Completion):
            broken(f"asked {prompt!r}, it gave {shown(one)}, which is not a Completion")
        if one.finish_reason not in ("stop", "length"):
            broken(
                f"asked {prompt!r}, it ended for the reason {one.finish_reason!r}, which is neither 'stop' "
                "nor 'length'"
            )
        if one.prompt_tokens <= 0 or (one.text and one.completion_tokens <= 0) or one.cached_tokens < 0:
            broken(
                f"asked {prompt!r} it counted {one.prompt_tokens} + {one.completion_tokens} tokens "
                f"({one.cached_tokens} cached) for {shown(one.text)}: costs and budgets are made of these"
            )
        expected = type(self).expected
        if expected is not None and one.text != expected(prompt):
            broken(f"asked {prompt!r}, it answered {shown(one.text)}, but {expected(prompt)!r} was expected")

    def _told(self, story: Coroutine[Any, Any, None]) -> None:
        """Run a story, but never hang."""

        async def limited() -> None:
            await asyncio.wait_for(story, max(30.0, 60 * self.seconds))

        try:
            asyncio.run(limited())
        except TimeoutError as error:
            raise AssertionError(f"no end after {max(30.0, 60 * self.seconds):.0f} seconds") from error


def _ask(text: str) -> Request:
    return Request("p", Address(0, 0, "init", 0), Prompt.user(text), Sampling(max_tokens=64), 1)
