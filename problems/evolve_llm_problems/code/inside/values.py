"""Python values as JSON and back: how arguments go to a program and what it returns comes out.

Only plain data crosses, rebuilt from its parts, so an object that calls itself equal to everything arrives as the
name of its type. Used on both sides; imports the standard library alone.
"""

from __future__ import annotations

from typing import Any

DEPTH = 200


class Opaque:
    """Stands for a value that is not plain data; equal to nothing, itself included. ``name`` is its type."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<a value of type {self.name}>"


def pack(value: Any, depth: int = 0) -> Any:
    """A JSON value for None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset and dict.

    Subclasses become what they derive from, NumPy's values what they hold, anything else the name of its type.
    Never raises for a value's shape; what is nested more than ``DEPTH`` deep becomes opaque.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if depth > DEPTH:
        return {"opaque": "something nested too deeply"}
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    kinds: tuple[tuple[str, Any], ...] = (("tuple", tuple), ("set", set), ("frozenset", frozenset))
    for name, kind in kinds:
        if isinstance(value, kind):
            return {name: [pack(item, depth + 1) for item in kind.__iter__(value)]}
    if isinstance(value, list):
        return [pack(item, depth + 1) for item in list.__iter__(value)]
    if isinstance(value, dict):
        return {"dict": [[pack(k, depth + 1), pack(v, depth + 1)] for k, v in dict.items(value)]}
    if isinstance(value, bytes):
        return {"bytes": bytes.hex(value)}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return pack(value.tolist(), depth + 1)
    return {"opaque": str(type(value).__name__)[:100]}


def unpack(value: Any) -> Any:
    """What ``pack`` was given. Raises ValueError (or TypeError, for what cannot be hashed) for anything else."""
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise ValueError("not a packed value")
    ((kind, inner),) = value.items()
    if kind == "opaque":
        return Opaque(str(inner)[:100])
    if kind == "bytes" and isinstance(inner, str):
        return bytes.fromhex(inner)
    if not isinstance(inner, list):
        raise ValueError("not a packed value")
    if kind == "dict":
        return {unpack(key): unpack(item) for key, item in inner}
    if kind == "complex":
        return complex(*inner)
    makers: dict[str, Any] = {"tuple": tuple, "set": set, "frozenset": frozenset}
    if kind not in makers:
        raise ValueError(f"no packed value is a {kind!r}")
    return makers[kind](unpack(item) for item in inner)
