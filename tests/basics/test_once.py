"""Work that is done once for all who want it."""

from __future__ import annotations

import asyncio

import pytest

from evolve_llm.basics.once import Once


@pytest.mark.parametrize("keep", [False, True])
def test_those_who_wait_together_share_one_piece_of_work(keep: bool) -> None:
    calls = 0

    async def work() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return calls

    async def main() -> list[int]:
        once: Once[int] = Once(keep=keep)
        together = await asyncio.gather(*(once.run("a", work) for _ in range(5)))
        return [*together, await once.run("a", work), await once.run("b", work)]

    assert asyncio.run(main()) == ([1] * 6 + [2] if keep else [1] * 5 + [2, 3])


def test_an_error_is_shared_and_kept_like_any_outcome() -> None:
    calls = 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        raise ZeroDivisionError

    async def main() -> None:
        once: Once[None] = Once(keep=True)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await once.run("a", work)

    asyncio.run(main())
    assert calls == 1


@pytest.mark.parametrize("keep", [False, True])
def test_work_ends_with_the_last_who_waits_and_not_before(keep: bool) -> None:
    async def main() -> None:
        once: Once[str] = Once(keep=keep)
        gate = asyncio.Event()
        ended: list[str] = []

        async def work() -> str:
            try:
                await gate.wait()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise
            return "done"

        first, second = (asyncio.create_task(once.run("a", work)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert not ended
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        await asyncio.sleep(0)
        assert ended == ["cancelled"]
        gate.set()
        assert await once.run("a", work) == "done", "work that was cancelled is no outcome"
        await once.cancel_all()

    asyncio.run(main())
