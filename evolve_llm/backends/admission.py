"""How many requests are worth having in flight, from what an engine tells of its load."""

from __future__ import annotations

from evolve_llm.backends.base import Load

INTERVAL = 0.25
"""Seconds between two looks at the engine."""

WINDOW = 4
"""Looks that one decision rests on."""

LEAST, MOST = 8, 1024
"""The capacity goes no lower and no higher, but for a backend whose own capacity lies outside."""


class Admission:
    """Keeps a short queue in the engine: enough for a batch that is always full, too little to matter.

    ``update`` is told each look and gives the capacity for the permits. What counts is the standing queue,
    the least that waited in the engine over ``WINDOW`` looks, since a burst of arrivals waits for a moment
    in any engine (the idea is CoDel's: Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012):

    - under a thirty-second of what is held, while all permits are in use: grow by a sixteenth;
    - up to an eighth: stay. A step of growth ends in here, so growth comes to rest without a swing;
    - more: shrink to what is held less half the excess. The engine serves its own queue first come first
      served, which would undo oldest problem first, and a full cache makes it throw work away.

    It shrinks from what is held, not from the capacity, so that requests on their way out are not counted
    twice. It does not grow while an eighth of what is held is not seen in the engine: then something
    between limits (connections, a proxy), and more permits would only queue there.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.least = min(capacity, LEAST)
        self.most = max(capacity, MOST)
        self._queue: list[int] = []

    def update(self, load: Load, held: int) -> int:
        """The capacity from now on. ``held``: permits in use at this look."""
        self._queue.append(load.waiting)
        if len(self._queue) < WINDOW:
            return self.capacity
        standing = min(self._queue)
        slack = max(2, held // 8)
        excess = standing - slack
        if excess > 0:
            self._move(min(self.capacity, max(held - (excess + 1) // 2, held // 2)))
        elif 32 * standing <= held <= load.running + load.waiting + slack and held >= self.capacity:
            self._move(self.capacity + max(1, self.capacity // 16))
        else:
            del self._queue[0]
        return self.capacity

    def _move(self, capacity: int) -> None:
        self.capacity = max(self.least, min(capacity, self.most))
        self._queue.clear()  # the next decision rests on what this one did
