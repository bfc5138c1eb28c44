"""Picture: an image that belongs to a question, carried whole, so that no run ever fetches one."""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass

PATCH = 28
"""Pixels of the side of a patch that costs a token in Qwen's vision models, the dearest of those in use."""

LEAST_TOKENS = 1_024
"""What a small picture may cost where it is cut into tiles and shown once more as a whole."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as ``data:image/TYPE;base64,...``, with its size in pixels."""

    url: str
    width: int
    height: int

    @property
    def media_type(self) -> str:
        """``image/png`` or the like."""
        return self.url.removeprefix("data:").partition(";")[0]

    @property
    def data(self) -> bytes:
        """The file's bytes. Raises ValueError for a url that is none of ours."""
        head, comma, body = self.url.partition(",")
        if not comma or not head.startswith("data:image/") or not head.endswith(";base64"):
            raise ValueError(f"{self.url[:40]!r} is not a picture's data")
        try:
            return base64.b64decode(body, validate=True)
        except binascii.Error as error:
            raise ValueError(f"the data of a picture are not base64: {error}") from error

    @property
    def tokens(self) -> int:
        """What it may cost in a prompt, counted high; the model alone knows."""
        return max(LEAST_TOKENS, math.ceil(self.width / PATCH) * math.ceil(self.height / PATCH) + 2)

    def __str__(self) -> str:
        return f"{self.media_type} of {self.width} x {self.height} pixels"

    @classmethod
    def of(cls, data: bytes, media_type: str, width: int, height: int) -> Picture:
        """A picture of a file's bytes."""
        return cls(f"data:{media_type};base64,{base64.b64encode(data).decode()}", width, height)
