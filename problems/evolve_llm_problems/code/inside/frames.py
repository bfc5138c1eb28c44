"""Frames on a socket: four bytes of length, then that many bytes of ASCII JSON. Standard library alone."""

from __future__ import annotations

import json
import socket
from typing import Any

MAX_FRAME = 160 << 20
"""Bytes. Inputs and outputs of one test are far below it."""


def send(connection: socket.socket, message: Any) -> None:
    """Write one frame. Raises ValueError for a message that is too large, OSError when nobody reads."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(body) > MAX_FRAME:
        raise ValueError(f"a message of {len(body)} bytes is over the limit of {MAX_FRAME}")
    connection.sendall(len(body).to_bytes(4, "big") + body)


def receive(connection: socket.socket) -> dict[str, Any]:
    """Read one frame, an object. Raises EOFError at the end, ValueError for nonsense, OSError and TimeoutError."""
    length = int.from_bytes(_exactly(connection, 4), "big")
    if length > MAX_FRAME:
        raise ValueError(f"a frame announces {length} bytes")
    try:
        message = json.loads(_exactly(connection, length))
    except RecursionError as error:
        raise ValueError("a frame nested too deeply") from error
    if not isinstance(message, dict):
        raise ValueError("a frame that is not an object")
    return message


def _exactly(connection: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        chunk = connection.recv(min(count - len(received), 1 << 20))
        if not chunk:
            raise EOFError("the other side is gone")
        received += chunk
    return bytes(received)
