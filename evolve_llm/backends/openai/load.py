"""How busy a server is, from the gauges of its ``/metrics`` page (Prometheus text format)."""

from __future__ import annotations

import math
import re

from evolve_llm.backends.base import Load

_GAUGES = (
    ("vllm:num_requests_running", "vllm:num_requests_waiting"),
    ("llamacpp:requests_processing", "llamacpp:requests_deferred"),
)
"""Requests in the batch and requests that wait, as the servers call them."""


def read_load(text: str) -> Load | None:
    """The load that a metrics page tells, summed over a server's engines; None for a page without."""
    for running, waiting in _GAUGES:
        found = [_total(text, name) for name in (running, waiting)]
        if found[0] is not None and found[1] is not None:
            return Load(found[0], found[1])
    return None


def _total(text: str, name: str) -> int | None:
    """The sum of all series of one gauge."""
    try:
        values = [
            float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})?[ \t]+(\S+)", text, re.MULTILINE)
        ]
    except ValueError:
        return None
    if not values or not all(math.isfinite(value) and value >= 0 for value in values):
        return None
    return int(sum(values))
