"""Permits: never more holders than there are, the oldest problem first, and none is ever lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm.engine.permits import Permits
from evolve_llm.nouns.errors import BudgetReached


def test_the_waiter_with_the_smallest_priority_is_served_first() -> None:
    async def main() -> list[tuple[int, int, int]]:
        permits, served = Permits(1), []

        async def work(priority: tuple[int, int, int]) -> None:
            async with permits.take(priority):
                served.append(priority)
                await asyncio.sleep(0)

        waiting = [(9, 0, 0), (2, 1, 0), (2, 0, 1), (0, 3, 3), (2, 0, 0)]
        await asyncio.gather(*map(work, waiting))
        return served

    assert asyncio.run(main()) == [(9, 0, 0), (0, 3, 3), (2, 0, 0), (2, 0, 1), (2, 1, 0)]


def test_equal_priorities_are_served_in_order_of_arrival() -> None:
    async def main() -> list[int]:
        permits, served = Permits(1), []

        async def work(name: int) -> None:
            async with permits.take((0, 0, 0)):
                served.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(*map(work, range(6)))
        return served

    assert asyncio.run(main()) == [0, 1, 2, 3, 4, 5]


def test_a_waiter_cancelled_in_the_moment_it_was_served_hands_the_permit_on() -> None:
    async def main() -> None:
        permits = Permits(1)
        first = permits.take((0, 0, 0))
        await first.__aenter__()
        entered = []

        async def wait(name: str, priority: int) -> None:
            async with permits.take((priority, 0, 0)):
                entered.append(name)

        unlucky = asyncio.create_task(wait("unlucky", 1))
        lucky = asyncio.create_task(wait("lucky", 2))
        await asyncio.sleep(0)
        await first.__aexit__(None, None, None)  # unlucky is served here, and has not run yet
        unlucky.cancel()
        await asyncio.wait_for(lucky, 1)
        assert entered == ["lucky"]
        assert (permits.held, permits.waiting) == (0, 0)

    asyncio.run(main())


def test_an_error_inside_gives_the_permit_back() -> None:
    async def main() -> None:
        permits = Permits(1)
        with pytest.raises(ZeroDivisionError):
            async with permits.take((0, 0, 0)):
                raise ZeroDivisionError
        async with asyncio.timeout(1), permits.take((0, 0, 0)):
            assert permits.held == 1

    asyncio.run(main())


def test_closed_permits_serve_nobody_and_say_so_when_the_last_one_is_back() -> None:
    async def main() -> None:
        permits = Permits(2)
        served = []

        async def work(name: int) -> None:
            async with permits.take((name, 0, 0)):
                served.append(name)
                await asyncio.sleep(0.01)

        tasks = [asyncio.create_task(work(name)) for name in range(5)]
        await asyncio.sleep(0)
        permits.close()
        late = asyncio.create_task(work(98))
        await asyncio.sleep(0)
        assert (permits.held, permits.waiting) == (2, 4), "nobody is told while something is under way"
        ended = await asyncio.wait_for(asyncio.gather(*tasks, late, return_exceptions=True), 1)
        assert [type(one) for one in ended] == [type(None)] * 2 + [BudgetReached] * 4
        assert served == [0, 1]
        assert (permits.held, permits.waiting) == (0, 0)
        with pytest.raises(BudgetReached):
            await work(99)

    asyncio.run(main())


def test_a_waiter_cancelled_as_it_is_refused_gives_nothing_back() -> None:
    async def main() -> None:
        permits = Permits(1)
        holder = permits.take((0, 0, 0))
        await holder.__aenter__()
        waiter = asyncio.create_task(permits.take((1, 0, 0)).__aenter__())
        await asyncio.sleep(0)
        permits.close()
        await holder.__aexit__(None, None, None)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert (permits.held, permits.waiting) == (0, 0)

    asyncio.run(main())


def test_closed_permits_keep_nobody_waiting_for_room() -> None:
    async def main() -> None:
        permits = Permits(3)
        await permits.take((0, 0, 0)).__aenter__()
        permits.resize(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(permits.room(), 0.01)
        permits.close()
        await asyncio.wait_for(permits.room(), 1)

    asyncio.run(main())


def test_there_is_room_only_while_a_permit_is_free() -> None:
    async def main() -> None:
        permits = Permits(1)
        await asyncio.wait_for(permits.room(), 1)
        async with permits.take((0, 0, 0)):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(permits.room(), 0.01)
        await asyncio.wait_for(permits.room(), 1)

    asyncio.run(main())


@settings(max_examples=150)
@given(
    capacity=st.integers(1, 4),
    work=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(-1, 8)), max_size=14),
    sizes=st.lists(st.none() | st.integers(1, 6), min_size=9, max_size=9),
)
def test_any_interleaving_of_work_cancellation_and_resizing(
    capacity: int, work: list[tuple[int, int, int]], sizes: list[int | None]
) -> None:
    """Each worker: a priority, the turns it holds its permit, the turn it is cancelled in (-1: never)."""

    async def main() -> None:
        permits = Permits(capacity)
        inside, allowed = 0, capacity
        done = set()

        async def one(name: int, priority: int, turns: int) -> None:
            nonlocal inside
            async with permits.take((priority, 0, name)):
                inside += 1
                assert inside <= permits.held <= allowed
                try:
                    for _ in range(turns):
                        await asyncio.sleep(0)
                finally:
                    inside -= 1
            done.add(name)

        tasks = [asyncio.create_task(one(name, *how[:2])) for name, how in enumerate(work)]
        for turn, size in enumerate(sizes):
            if size is not None:
                allowed = max(size, permits.held)
                permits.resize(size)
            for task, (_, _, cancelled) in zip(tasks, work, strict=True):
                if cancelled == turn:
                    task.cancel()
            waits = permits.waiting > 0
            assert not waits or permits.held >= permits.capacity, "a permit is free and somebody waits"
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert done >= {name for name, how in enumerate(work) if how[2] < 0}
        assert (permits.held, permits.waiting) == (0, 0)
        assert permits.peak <= max([capacity, *filter(None, sizes)])
        async with asyncio.timeout(1):
            await permits.room()

    asyncio.run(main())


def test_a_larger_capacity_serves_waiters_at_once_and_in_order() -> None:
    async def main() -> None:
        permits, served = Permits(1), []

        async def work(name: int) -> None:
            async with permits.take((name, 0, 0)):
                served.append(name)
                await asyncio.sleep(0.01)

        tasks = [asyncio.create_task(work(name)) for name in (0, 4, 2, 3, 1)]
        await asyncio.sleep(0)
        permits.resize(3)
        assert (permits.held, permits.waiting) == (3, 2)
        await asyncio.sleep(0)
        assert served == [0, 1, 2]
        await asyncio.gather(*tasks)
        assert (permits.held, permits.peak) == (0, 3)

    asyncio.run(main())


def test_a_smaller_capacity_takes_no_permit_away_and_passes_none_on_until_it_fits() -> None:
    async def main() -> None:
        permits = Permits(3)
        held = [permits.take((0, 0, slot)) for slot in range(3)]
        for one in held:
            await one.__aenter__()
        waiter = asyncio.create_task(permits.take((1, 0, 0)).__aenter__())
        await asyncio.sleep(0)
        permits.resize(1)
        assert permits.held == 3
        for left in (2, 1):
            await held[left].__aexit__(None, None, None)
            await asyncio.sleep(0)
            assert (permits.held, waiter.done()) == (left, False)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(permits.room(), 0.001)
        await held[0].__aexit__(None, None, None)
        await asyncio.wait_for(waiter, 1)
        assert permits.held == 1

    asyncio.run(main())


def test_closed_permits_stay_closed_when_resized() -> None:
    async def main() -> None:
        permits = Permits(1)
        await permits.take((0, 0, 0)).__aenter__()
        waiter = asyncio.create_task(permits.take((1, 0, 0)).__aenter__())
        await asyncio.sleep(0)
        permits.close()
        permits.resize(5)
        await asyncio.sleep(0)
        assert (permits.held, waiter.done()) == (1, False)
        permits._release()
        with pytest.raises(BudgetReached):
            await waiter

    asyncio.run(main())
