"""The pages as one file that opens without a server and without a network."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlencode

from evolve_llm.basics.whole_file import write_whole
from evolve_llm.nouns.errors import UserError
from evolve_llm.record.paging import PagedReader
from evolve_llm.view import answers
from evolve_llm.view.comparing import MOST as MOST_COMPARED
from evolve_llm.view.comparing import comparison

Texts = Literal["none", "answers", "all"]
LONGEST = 20_000
"""Characters of one text in a report."""
MOST = 200_000_000
"""Characters of all data in a report, before they are packed."""

_FORMULA = re.compile(r"\$|\\\\[(\[]")  # in JSON, where a backslash is written twice
_STATIC = Path(__file__).with_name("static")


def write(runs: Sequence[str | Path], out: str | Path, texts: Texts = "answers") -> int:
    """Write the pages of these runs into one HTML file, and give its size in bytes.

    ``texts``: the chains of no candidate, of the answers with their parents, or of all. A longer text than
    ``LONGEST`` is cut, and says so. Raises UserError where a run is none, ``texts`` is another word, or the data
    are more than ``MOST``.
    """
    if texts not in get_args(Texts):
        raise UserError(f"texts must be one of {', '.join(get_args(Texts))}, but is {texts!r}")
    if not runs:
        raise UserError("a report needs a run")
    page = _page(_carried(_named(runs), texts))
    write_whole(Path(out), page)
    return len(page.encode())


def _named(runs: Sequence[str | Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for given in runs:
        path = Path(given).resolve()
        PagedReader(path).close()  # what cannot be read is told before anything is written
        if path in found.values():
            continue
        name = path.name
        while name in found:
            name += "'"
        found[name] = path
    return found


def _carried(runs: Mapping[str, Path], texts: Texts) -> dict[str, Any]:
    carried: dict[str, Any] = {"runs?": [answers.summary(name, path) for name, path in runs.items()]}
    size = 0
    parts = [_questions(name, path, texts) for name, path in runs.items()]
    for part in (*parts, _comparisons(runs)):
        for question, answer in part:
            carried[question] = answer
            size += len(json.dumps(answer))
            if size > MOST:
                raise UserError(
                    f"the report would hold more than {MOST:,} characters; give fewer runs, or --texts none"
                )
    return carried


def _questions(name: str, path: Path, texts: Texts) -> Iterator[tuple[str, Any]]:
    yield _asked("run", run=name), answers.run(name, path)
    yield _asked("diversity", run=name), answers.diversity(path)
    with PagedReader(path) as reader:
        count = reader.count_problems()
    for first in range(0, max(1, count), answers.PAGE):
        yield _asked("problems", run=name, first=first), answers.problems(path, first)
    for place in range(count):
        problem = answers.problem(path, place)
        yield _asked("problem", run=name, place=place), problem
        if texts == "none":
            continue
        uids = {one["uid"] for one in problem["candidates"]}
        wanted = uids if texts == "all" else uids & {problem["uid"]}
        for uid, found in answers.candidates(path, place, wanted):
            yield _asked("candidate", run=name, place=place, uid=uid), _shortened(found)


def _comparisons(runs: Mapping[str, Path]) -> Iterator[tuple[str, Any]]:
    """All runs with the first one, and each of the others with it alone."""
    first, *others = runs
    wanted = {(first, *others[:MOST_COMPARED]), *((first, other) for other in others)} if others else set()
    for names in sorted(wanted):
        try:
            found = comparison({name: runs[name] for name in names})
        except UserError as error:
            found = {"error": str(error)}
        yield _asked("compare", run=names), found


def _asked(question: str, **parameters: Any) -> str:
    """The name of a question as ``source.js`` makes it."""
    return f"{question}?{urlencode(parameters, doseq=True).replace('~', '%7E').replace('%2A', '*')}"


def _shortened(found: dict[str, Any]) -> dict[str, Any]:
    for one in (found["candidate"], *found["parents"]):
        for key in ("text", "thinking"):
            if len(one[key]) > LONGEST:
                left = len(one[key]) - LONGEST
                one[key] = (
                    f"{one[key][:LONGEST]}\n[cut here: {left:,} more characters stand in the run directory]"
                )
    return found


def _page(carried: Mapping[str, Any]) -> str:
    data = json.dumps(carried)
    script, style = _text("main.js"), _text("style.css")
    if _FORMULA.search(data):
        style += _text("math.css")
    packed = base64.b64encode(gzip.compress(data.encode(), mtime=0)).decode()
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>evolve-llm</title>\n'
        f'<link rel="icon" href="data:,">\n<style>{style}</style>\n</head>\n<body>\n'
        '<header><nav id="path" aria-label="Where you are"></nav></header>\n'
        '<main id="page" tabindex="-1"><p>Loading …</p></main>\n'
        f'<script type="application/octet-stream" id="data">{packed}</script>\n'
        f'<script type="module">{script}</script>\n</body>\n</html>\n'
    )


def _text(name: str) -> str:
    return (_STATIC / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
