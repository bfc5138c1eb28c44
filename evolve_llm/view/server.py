"""The local server: pages, JSON and the stream that tells of new generations."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from evolve_llm.nouns.errors import EvolveError, UserError
from evolve_llm.record.paging import PagedReader
from evolve_llm.view import answers
from evolve_llm.view.comparing import comparison
from evolve_llm.view.folders import find_runs
from evolve_llm.view.guard import Guard
from evolve_llm.view.memory import Mark, Memory, mark

STATIC = Path(__file__).with_name("static")
EVERY = 2.0
"""Seconds between two looks at a run that another process writes."""
PATIENCE = 10.0
"""A page is told of news no oftener than this many times what its last answers took, so that looking stays cheap."""
WINDOW = 30.0
"""Seconds over which the throughput of a running run is measured."""


def application(folders: Sequence[Path], token: str) -> Starlette:
    """The server over the runs in these folders, for who has the token."""

    memory = Memory()

    def course(path: Path) -> dict[str, Any]:
        return memory.answer("course", (path,), lambda: answers.course(path))

    def runs(_: Request) -> list[dict[str, Any]]:
        return [answers.summary(name, path, course) for name, path in find_runs(folders).items()]

    def run(request: Request) -> dict[str, Any]:
        return answers.run(*_named(folders, request), course)

    def diversity(request: Request) -> dict[str, Any]:
        path = _named(folders, request)[1]
        return memory.answer("diversity", (path,), lambda: answers.diversity(path))

    def prompt(request: Request) -> dict[str, Any]:
        uid = request.query_params.get("uid", "")
        return answers.prompt(_named(folders, request)[1], _number(request, "place"), uid)

    def compare(request: Request) -> dict[str, Any]:
        known, wanted = find_runs(folders), request.query_params.getlist("run")
        runs = {name: _path(known, name) for name in wanted}
        question = "compare " + json.dumps(list(runs))
        return memory.answer(question, tuple(runs.values()), lambda: comparison(runs))

    def problems(request: Request) -> dict[str, Any]:
        return answers.problems(_named(folders, request)[1], _number(request, "first"))

    def problem(request: Request) -> dict[str, Any]:
        return answers.problem(_named(folders, request)[1], _number(request, "place"))

    def candidate(request: Request) -> dict[str, Any]:
        uid = request.query_params.get("uid", "")
        return answers.candidate(_named(folders, request)[1], _number(request, "place"), uid)

    async def events(request: Request) -> Response:
        try:
            _, path = await run_in_threadpool(_named, folders, request)
        except UserError as error:
            return JSONResponse({"error": str(error)}, 404)
        return EventSourceResponse(_changes(path, lambda: memory.cost(path)))

    asked = (runs, run, diversity, problems, problem, candidate, prompt, compare)
    routes = [Route(f"/api/{one.__name__}", _json(one)) for one in asked]
    return Starlette(
        routes=[*routes, Route("/api/events", events), Mount("/", StaticFiles(directory=STATIC, html=True))],
        middleware=[Middleware(Guard, token=token)],
    )


def serve(folders: Sequence[Path], port: int, token: str, on_start: Callable[[str], None]) -> None:
    """Serve until Ctrl-C, on the loopback interface. ``on_start`` is told the address once it answers.

    Raises UserError where the port is taken. Port 0 takes a free one.
    """
    import socket

    import uvicorn

    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise UserError(f"cannot listen on port {port}: {error}; give another --port") from error
        listening.listen(128)
        on_start(f"http://127.0.0.1:{listening.getsockname()[1]}/?token={token}")
        config = uvicorn.Config(application(folders, token), log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listening])


def _json(answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            found = await run_in_threadpool(answer, request)
        except UserError as error:
            return JSONResponse({"error": str(error)}, 404)
        except EvolveError as error:
            return JSONResponse({"error": str(error)}, 409)
        text = json.dumps(found, ensure_ascii=True)  # a lone surrogate stays an escape
        return Response(text, media_type="application/json")

    return endpoint


def _named(folders: Sequence[Path], request: Request) -> tuple[str, Path]:
    name = request.query_params.get("run", "")
    return name, _path(find_runs(folders), name)


def _path(known: Mapping[str, Path], name: str) -> Path:
    if name not in known:
        raise UserError(f"there is no run {name!r} in the folders that were given")
    return known[name]


def _number(request: Request, name: str) -> int:
    given = request.query_params.get(name, "0")
    if not (given.isascii() and given.isdigit() and len(given) < 10):
        raise UserError(f"{name} must be a number, but is {given!r}")
    return int(given)


def _progress(path: Path) -> tuple[int, int] | None:
    try:
        with PagedReader(path) as reader:
            return reader.progress()
    except EvolveError:
        return None  # being created, or replaced: the next look will tell


async def _changes(path: Path, cost: Callable[[], float]) -> AsyncIterator[dict[str, str]]:
    """Say how far a run is and how fast it goes, at first and whenever it has come further.

    ``cost``: the seconds that an answer to this news takes.
    """
    known: tuple[int, int] | None = None
    seen: deque[tuple[float, int]] = deque()  # (when, chains)
    before: Mark | None = None
    while True:
        written, now = mark(path), None
        if written != before:
            before, now = written, await run_in_threadpool(_progress, path)
        if now is not None and now != known:
            known = now
            seen.append((time.monotonic(), now[1]))
            while len(seen) > 2 and seen[-1][0] - seen[0][0] > WINDOW:
                seen.popleft()
            yield {"data": json.dumps({"generations": now[0], "chains": now[1], "per_second": _speed(seen)})}
        await asyncio.sleep(max(EVERY, PATIENCE * cost()))


def _speed(seen: Sequence[tuple[float, int]]) -> float | None:
    if len(seen) < 2:
        return None
    return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])
