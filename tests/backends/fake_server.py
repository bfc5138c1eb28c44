"""A real HTTP server on the loopback that misbehaves on demand.

A prompt ``CASE TIMES …`` makes it play CASE for the first TIMES attempts at that prompt and answer well
after them; any other prompt is answered at once with ``echo: PROMPT``. So what happens depends on the
request alone, never on the order of arrival.

``owner`` is who it says is serving. With ``tokenizer`` it has the ``/tokenize`` of vLLM or of llama.cpp, whose
tokens are three bytes each; with ``metrics`` a page of that text.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "fake-model"
KEY = "right-key"


def answer(text: str, finish: str = "stop") -> dict[str, Any]:
    return {
        "id": "x",
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
        "usage": {
            "prompt_tokens": 11,
            "completion_tokens": 7 if text else 0,
            "prompt_tokens_details": {"cached_tokens": 5},
        },
    }


def with_logprobs(body: dict[str, Any], alternatives: int) -> dict[str, Any]:
    top = [
        {"token": token, "bytes": None, "logprob": value} for token, value in (("no", -2.0), ("echo", -0.25))
    ]
    tokens = [
        {
            "token": f"t{place}",
            "bytes": None,
            "logprob": -0.25 * (place + 1),
            "top_logprobs": top[:alternatives],
        }
        for place in range(body["usage"]["completion_tokens"])
    ]
    body["choices"][0]["logprobs"] = {"content": tokens, "refusal": None}
    return body


def error(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


def spelled(data: bytes) -> str:
    """Bytes in the letters of a byte-level vocabulary, by the published rule."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return "".join(chr(byte if byte in plain else 256 + rest.index(byte)) for byte in data)


def triples(text: str) -> list[bytes]:
    """The fake tokenizer: three bytes a token, characters or not."""
    data = text.encode()
    return [data[start : start + 3] for start in range(0, len(data), 3)]


def chat_text(messages: list[dict[str, str]]) -> str:
    return "".join(f"[{one['role']}]{one['content']}" for one in messages) + "[assistant]"


class FakeServer:
    """Start with ``with``; ``seen`` counts attempts by prompt, ``bodies`` keeps what was asked."""

    def __init__(
        self,
        *,
        model: str = MODEL,
        listing: bool = True,
        need_key: bool = False,
        delay: float = 0.0,
        owner: str = "vllm",
        window: int = 4096,
        tokenizer: str | None = None,
        metrics: str | None = None,
        tells_cached: bool = True,
    ) -> None:
        self.model = model
        self.listing = listing
        self.need_key = need_key
        self.delay = delay
        self.owner = owner
        self.window = window
        self.tokenizer = tokenizer
        self.metrics = metrics
        self.tells_cached = tells_cached
        self.trouble: list[int] = []
        """Statuses with which the next requests beside the API are answered."""
        self.beside: list[tuple[str, dict[str, Any]]] = []
        """What was asked beside the API."""
        self.seen: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.moments: dict[str, list[float]] = {}
        self.busy = 0
        self.peak = 0
        self.lock = threading.Lock()
        self.release = threading.Event()
        self.connections: set[socket.socket] = set()
        self.http: ThreadingHTTPServer | None = None

    def __enter__(self) -> FakeServer:
        fake = self

        class Handler(_Handler):
            server_of_tests = fake

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.release.set()
        if self.http is not None:
            self.http.shutdown()
            self.http.server_close()
            self.http = None
        for connection in tuple(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        assert self.http is not None
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of_tests: FakeServer

    def setup(self) -> None:
        super().setup()
        self.server_of_tests.connections.add(self.connection)

    def finish(self) -> None:
        self.server_of_tests.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the peer has gone, or a case has closed the socket
            super().handle()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        fake = self.server_of_tests
        if self.path == "/metrics":
            fake.beside.append((self.path, {}))
            if not self.troubled():
                self.reply(404 if fake.metrics is None else 200, (fake.metrics or "").encode())
        elif not fake.listing:
            self.reply(404, {"detail": "Not Found"})
        elif not self.key_is_right():
            self.reply(401, error("Incorrect API key provided"))
        else:
            other = {"id": "other-model", "object": "model", "owned_by": fake.owner}
            model = {
                "id": fake.model,
                "object": "model",
                "owned_by": fake.owner,
                "max_model_len": fake.window,
            }
            self.reply(200, {"object": "list", "data": [other, model]})

    def do_POST(self) -> None:
        fake = self.server_of_tests
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.path.startswith("/v1/"):
            fake.beside.append((self.path, body))
            if not self.troubled():
                self.answer_beside(body)
            return
        prompt = body["messages"][-1]["content"]
        with fake.lock:
            fake.seen[prompt] += 1
            attempt = fake.seen[prompt]
            fake.bodies.append(body)
            fake.moments.setdefault(prompt, []).append(time.monotonic())
            fake.busy += 1
            fake.peak = max(fake.peak, fake.busy)
        try:
            if fake.delay:
                fake.release.wait(fake.delay)
            self.play(prompt, attempt, body)
        finally:
            with fake.lock:
                fake.busy -= 1

    def troubled(self) -> bool:
        """Whether the next trouble in the queue was the answer."""
        trouble = self.server_of_tests.trouble
        if not trouble:
            return False
        self.reply(trouble.pop(0), error("not now"))
        return True

    def answer_beside(self, body: dict[str, Any]) -> None:
        kind = self.server_of_tests.tokenizer
        if kind == "vllm" and self.path == "/tokenize" and body.get("model") == self.server_of_tests.model:
            tokens = triples(body["prompt"] if "prompt" in body else chat_text(body["messages"]))
            strings = [spelled(one) for one in tokens] if body.get("return_token_strs") else None
            self.reply(200, {"count": len(tokens), "tokens": [0] * len(tokens), "token_strs": strings})
        elif kind == "llamacpp" and self.path == "/apply-template":
            self.reply(200, {"prompt": chat_text(body["messages"])})
        elif kind == "llamacpp" and self.path == "/tokenize" and "content" in body:
            tokens = triples(body["content"])
            pieces = [{"id": 0, "piece": _as_text(one)} for one in tokens]
            self.reply(200, {"tokens": pieces if body.get("with_pieces") else [0] * len(tokens)})
        else:
            self.reply(404, {"detail": "Not Found"})

    def key_is_right(self) -> bool:
        return not self.server_of_tests.need_key or self.headers["Authorization"] == f"Bearer {KEY}"

    def play(self, prompt: str, attempt: int, body: dict[str, Any]) -> None:
        case, _, rest = prompt.partition(" ")
        times = rest.partition(" ")[0]
        if not self.key_is_right():
            self.reply(401, error("Incorrect API key provided"))
        elif body["model"] != self.server_of_tests.model:
            self.reply(404, error(f"The model `{body['model']}` does not exist.", "model_not_found"))
        elif case in CASES and attempt <= (int(times) if times.isdigit() else 10**9):
            CASES[case](self)
        elif body.get("logprobs") and case != "silent":
            self.reply(200, with_logprobs(answer(f"echo: {prompt}"), body.get("top_logprobs", 0)))
        else:
            good = answer(f"echo: {prompt}")
            if not self.server_of_tests.tells_cached:
                good["usage"]["prompt_tokens_details"] = None
            self.reply(200, good)

    def reply(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def hang(self) -> None:
        self.server_of_tests.release.wait(60)
        self.close_connection = True

    def truncated(self) -> None:
        data = json.dumps(answer("never seen whole")).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.close_connection = True

    def half_chunk(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b'10\r\n{"choices": [{"i\r\n')
        self.close_connection = True


def _as_text(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


def more_than_asked(choices: int) -> dict[str, Any]:
    """The answer asked for, as the last of several choices, which are numbered."""
    body = answer("echo: more")
    (wanted,) = body["choices"]
    others = [{**answer(f"other {n}")["choices"][0], "index": n} for n in range(1, choices)]
    return {**body, "choices": [*others, wanted]}


def date_in(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


CASES: dict[str, Callable[[_Handler], None]] = {
    "429": lambda h: h.reply(429, error("slow down")),
    "429-after": lambda h: h.reply(429, error("slow down"), {"Retry-After": "0.3"}),
    "429-date": lambda h: h.reply(429, error("slow down"), {"Retry-After": date_in(1)}),
    "429-tomorrow": lambda h: h.reply(429, error("daily limit"), {"Retry-After": "86400"}),
    "429-quota": lambda h: h.reply(429, error("You exceeded your quota", "insufficient_quota")),
    "500": lambda h: h.reply(500, error("oops")),
    "503": lambda h: h.reply(503, b"<html>busy</html>"),
    "400": lambda h: h.reply(400, error("temperature must be at most 2")),
    "422": lambda h: h.reply(422, {"detail": [{"loc": ["body"], "msg": "unknown field"}]}),
    "logprobs-refused": lambda h: h.reply(400, error("logprobs is not supported with this model")),
    "413": lambda h: h.reply(413, error("payload")),
    "overflow": lambda h: h.reply(400, error("This model's maximum context length is 4096 tokens.")),
    "filter": lambda h: h.reply(400, error("blocked", "content_filter")),
    "403": lambda h: h.reply(403, error("forbidden")),
    "reset": _Handler.reset,
    "hang": _Handler.hang,
    "truncated": _Handler.truncated,
    "half-chunk": _Handler.half_chunk,
    "malformed": lambda h: h.reply(200, b'{"choices": [{"message"'),
    "not-an-object": lambda h: h.reply(200, b"[]"),
    "strange": lambda h: h.reply(200, {"choices": [{"message": {"content": 7}}]}),
    "no-choices": lambda h: h.reply(200, {"choices": [], "usage": {"prompt_tokens": 3}}),
    "choices-null": lambda h: h.reply(200, {"choices": None}),
    "choices-not-a-list": lambda h: h.reply(200, {"choices": {"0": {}}}),
    "choices-of-nothing": lambda h: h.reply(200, {"choices": [None]}),
    "three-choices": lambda h: h.reply(200, more_than_asked(3)),
    "empty": lambda h: h.reply(200, answer("")),
    "inner-error": lambda h: h.reply(200, {"error": {"code": 502, "message": "upstream"}}),
    "length": lambda h: h.reply(200, answer("cut", "length")),
}
