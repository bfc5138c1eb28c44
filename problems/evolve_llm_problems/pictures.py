"""Pictures in the rows of a problem set: found, read, checked, and carried whole from then on."""

from __future__ import annotations

import base64
import binascii
import io
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.picture import Picture

MOST_BYTES = 20 << 20
"""Bytes of one picture: what the servers of large models take at most."""

TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
_DATA = re.compile(r"data:image/[a-z+.-]+;base64,", re.IGNORECASE)
_SECONDS = 30.0


def is_picture(part: Any) -> bool:
    """Whether a part of a chat message is a picture: ``image_url`` as OpenAI writes it, or ``image``."""
    return isinstance(part, Mapping) and part.get("type") in ("image_url", "image", "input_image")


def looks_like_a_picture(source: Any) -> bool:
    """Whether a value of a column that nobody named is one: a picture's data, bytes, or the name of such a file."""
    if isinstance(source, Mapping):
        return isinstance(source.get("bytes"), bytes) or any(
            looks_like_a_picture(source.get(key)) for key in ("url", "path")
        )
    if isinstance(source, str):
        return bool(_DATA.match(source)) or source.lower().endswith(
            (".png", ".jpg", ".jpeg", ".gif", ".webp")
        )
    return isinstance(source, bytes)


def source_of(part: Mapping[str, Any]) -> Any:
    """Where the picture of such a part is."""
    found = part.get("image_url", part.get("image", part.get("url")))
    return found.get("url") if isinstance(found, Mapping) and "url" in found else found


def read_pictures(
    sources: Sequence[Any], folder: Path | None, where: str, *, fetch: bool
) -> tuple[Picture, ...]:
    """The pictures at these places: paths (from ``folder``), ``data:`` URLs, bytes, or what a Hugging Face set stores.

    An address is read only with ``fetch``, and now: nothing is fetched while a run goes on.

    Raises UserError, which begins with ``where``, for what is missing, too large, no picture or of another kind.
    """
    return tuple(
        _picture(_bytes(one, folder, f"{where}, picture {number}", fetch), f"{where}, picture {number}")
        for number, one in enumerate(sources, 1)
    )


def _bytes(source: Any, folder: Path | None, where: str, fetch: bool) -> bytes:
    if isinstance(source, Mapping):  # an Image column: its file's bytes, or where that is
        source = source.get("bytes") or source.get("url") or source.get("path")
    if isinstance(source, bytes):
        return source
    if not isinstance(source, str) or not source.strip():
        raise UserError(f"{where}: no path, URL or data, but {source!r:.80}")
    if source[:5].lower() == "data:":
        begun = _DATA.match(source)
        try:
            return base64.b64decode(source[begun.end() :], validate=True) if begun else _fail(where, source)
        except binascii.Error as error:
            raise UserError(f"{where}: its data are not base64 ({error})") from error
    if re.match(r"[a-z][a-z0-9+.-]+://", source, re.IGNORECASE):
        return _fetched(source, where, fetch)
    path = Path(source).expanduser()
    path = path if path.is_absolute() or folder is None else folder / path
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(
                f"{where}: {path} has {path.stat().st_size:,} bytes; at most {MOST_BYTES:,} are taken"
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise UserError(f"{where}: cannot read {path}: {error}") from error


def _fail(where: str, source: str) -> bytes:
    raise UserError(f"{where}: {source[:60]!r} is not data:image/TYPE;base64,...")


def _fetched(source: str, where: str, fetch: bool) -> bytes:
    if not source.lower().startswith(("http://", "https://")):
        raise UserError(f"{where}: {source[:80]!r} is neither a path nor a web address")
    if not fetch:
        raise UserError(
            f"{where} is at {source[:120]}; put the file beside the problems and name its path, or add ?fetch=true to "
            "have it fetched while the problems are read"
        )
    try:
        with urllib.request.urlopen(source, timeout=_SECONDS) as answer:
            data: bytes = answer.read(MOST_BYTES + 1)
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise UserError(f"{where}: {source[:120]} cannot be fetched ({error})") from error
    return data


def _picture(data: bytes, where: str) -> Picture:
    try:
        from PIL import Image
    except ImportError as error:
        raise UserError(
            f'{where}: pictures are read with Pillow; pip install "evolve-llm[images]"'
        ) from error
    if len(data) > MOST_BYTES:
        raise UserError(f"{where} has {len(data):,} bytes; at most {MOST_BYTES:,} are taken")
    try:
        with Image.open(io.BytesIO(data), formats=list(TYPES)) as image:
            image.load()  # a picture that is cut off fails here
            return Picture.of(data, TYPES[str(image.format)], image.width, image.height)
    except Exception as error:  # Pillow raises many kinds for broken files, and one for bombs
        raise UserError(
            f"{where} is no whole picture of one of the kinds {', '.join(TYPES)} ({str(error)[:120]})"
        ) from error
