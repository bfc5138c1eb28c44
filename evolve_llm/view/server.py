"""The local server: pages, JSON and the stream that tells of new generations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
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
from evolve_llm.view.folders import find_runs
from evolve_llm.view.guard import Guard

STATIC = Path(__file__).with_name("static")
EVERY = 1.0
"""Seconds between two looks at a run that another process writes."""


def application(folders: Sequence[Path], token: str) -> Starlette:
    """The server over the runs in these folders, for who has the token."""

    def runs(_: Request) -> list[dict[str, Any]]:
        return [answers.summary(name, path) for name, path in find_runs(folders).items()]

    def run(request: Request) -> dict[str, Any]:
        return answers.run(*_named(folders, request))

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
        return EventSourceResponse(_changes(path))

    asked = (runs, run, problems, problem, candidate)
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
    path = find_runs(folders).get(name)
    if path is None:
        raise UserError(f"there is no run {name!r} in the folders that were given")
    return name, path


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


async def _changes(path: Path) -> AsyncIterator[dict[str, str]]:
    """Say how far a run is, at first and whenever it has come further."""
    known: tuple[int, int] | None = None
    while True:
        now = await run_in_threadpool(_progress, path)
        if now is not None and now != known:
            known = now
            yield {"data": json.dumps({"generations": now[0], "completions": now[1]})}
        await asyncio.sleep(EVERY)
