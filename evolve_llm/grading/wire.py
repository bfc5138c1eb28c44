"""Frames between the engine and its grading workers: a length, then that many bytes of JSON.

Nothing here trusts the other side: a frame has a largest size, and what comes back from a worker is
checked field by field before it becomes a Verdict.
"""

from __future__ import annotations

import json
import math
from typing import Any

from evolve_llm.nouns.verdict import Grade, Verdict

HEADER = 4
MAX_FRAME = 64 * 1024 * 1024
MAX_DETAIL = 500


class MalformedFrameError(ValueError):
    """What came over the wire is not what this protocol sends."""


def encode(message: Any) -> bytes:
    """One frame. Raises TypeError or ValueError for what JSON cannot carry, or when it is too large."""
    # ASCII only: an answer may hold lone surrogates, which UTF-8 refuses.
    body = json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    if len(body) > MAX_FRAME:
        raise ValueError(f"a message of {len(body)} bytes is over the limit of {MAX_FRAME}")
    return len(body).to_bytes(HEADER, "big") + body


def body_length(header: bytes) -> int:
    """The length a header announces. Raises MalformedFrameError for a length no frame has."""
    length = int.from_bytes(header, "big")
    if len(header) != HEADER or length > MAX_FRAME:
        raise MalformedFrameError(f"a frame announces {length} bytes")
    return length


def decode(body: bytes) -> dict[str, Any]:
    """The message in a frame. Raises MalformedFrameError unless it is a JSON object."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedFrameError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise MalformedFrameError("not a JSON object")
    return message


def pack_verdict(verdict: Verdict) -> dict[str, Any]:
    """Write a Verdict as JSON data."""
    return {
        "grade": str(verdict.grade),
        "rule": str(verdict.rule)[:MAX_DETAIL],
        "score": None if verdict.score is None else float(verdict.score),
        "detail": str(verdict.detail)[:MAX_DETAIL],
    }


def unpack_verdict(value: Any) -> Verdict:
    """A Verdict from JSON. Raises MalformedFrameError when any field is not what pack_verdict writes."""
    if not isinstance(value, dict) or set(value) != {"grade", "rule", "score", "detail"}:
        raise MalformedFrameError("not a verdict")
    grade, rule, score, detail = value["grade"], value["rule"], value["score"], value["detail"]
    if grade not in tuple(Grade) or not isinstance(rule, str) or not rule or not isinstance(detail, str):
        raise MalformedFrameError("not a verdict")
    if score is not None:
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise MalformedFrameError(f"a score that is not a number: {score!r}")
        score = float(score)
        if not math.isfinite(score) or not 0.0 <= score <= 1.0:
            raise MalformedFrameError(f"a score outside [0, 1]: {score!r}")
    return Verdict(Grade(grade), rule[:MAX_DETAIL], score, detail[:MAX_DETAIL])
