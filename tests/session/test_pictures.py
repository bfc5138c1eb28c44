"""Questions with pictures: read and kept once, shown once and first in every prompt, and to no model that sees none."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from evolve_llm import evolve
from evolve_llm.backends.base import takes_pictures
from evolve_llm.backends.messages import chat_messages
from evolve_llm.backends.recorded import Recorded
from evolve_llm.backends.replicas import Replicas
from evolve_llm.backends.response_file import request_key
from evolve_llm.backends.scripted import Scripted
from evolve_llm.backends.tokens import estimate_prompt_tokens
from evolve_llm.engine.calling import prompt_digest
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.picture import Picture
from evolve_llm.nouns.problem import Problem, problems_digest
from evolve_llm.nouns.request import Message, Prompt, Request, Sampling
from evolve_llm.scheme.problem_sets import load_problems

Image = pytest.importorskip("PIL.Image")


def png(colour: str = "red", size: tuple[int, int] = (64, 48), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def rows(path: Path, *found: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in found))
    return path


@pytest.fixture
def pictured(tmp_path: Path) -> Path:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.png").write_bytes(png())
    (tmp_path / "figures" / "b.jpg").write_bytes(png("blue", kind="JPEG"))
    data = "data:image/png;base64," + base64.b64encode(png("green")).decode()
    parts = [
        {"type": "text", "text": "Compare"},
        {"type": "image_url", "image_url": {"url": "figures/a.png"}},
        {"type": "text", "text": "with"},
        {"type": "image_url", "image_url": {"url": data}},
    ]
    return rows(
        tmp_path / "seen.jsonl",
        {"id": "one", "question": "Which colour?", "images": ["figures/a.png"], "answer": "4"},
        {"id": "two", "messages": [{"role": "user", "content": parts}], "answer": "5"},
        {"id": "three", "question": "And this?", "image": "figures/b.jpg", "answer": "6"},
        {"id": "none", "question": "What is 1+1?", "answer": "2"},
    )


def test_pictures_are_read_whole_from_columns_and_from_parts(pictured: Path) -> None:
    one, two, three, none = load_problems(str(pictured))
    assert [(p.media_type, p.width, p.height) for p in one.pictures] == [("image/png", 64, 48)]
    assert one.pictures[0].data == png()
    assert (two.question, len(two.pictures)) == ("Compare\n[picture 1]\nwith\n[picture 2]", 2)
    assert three.pictures[0].media_type == "image/jpeg"
    assert none.pictures == ()
    assert Problem(**json.loads(json.dumps(two.plain()))) == two
    assert "pictures" not in none.plain()


def test_another_picture_is_another_experiment(pictured: Path) -> None:
    before = load_problems(str(pictured))
    (pictured.parent / "figures" / "a.png").write_bytes(png("black"))
    after = load_problems(str(pictured))
    assert problems_digest(before) != problems_digest(after)
    assert problems_digest(before[2:]) == problems_digest(after[2:])
    prompts = [Prompt.user("?").showing(one[0].pictures) for one in (before, after)]
    asked = [Request("p", Address(0, 0, "vary", 0), one, Sampling(), 1) for one in prompts]
    assert prompt_digest(prompts[0]) != prompt_digest(prompts[1]) != prompt_digest(Prompt.user("?"))
    assert request_key("m", asked[0]) != request_key("m", asked[1])


def test_a_prompt_shows_its_pictures_once_and_first() -> None:
    picture = Picture.of(png(), "image/png", 64, 48)
    prompt = Prompt((Message("system", "s"), Message("user", "u"), Message("user", "v"))).showing((picture,))
    assert prompt.showing((picture, picture)) is prompt
    system, user, other = chat_messages(prompt)
    assert (system["content"], other["content"]) == ("s", "v")
    assert user["content"] == [
        {"type": "image_url", "image_url": {"url": picture.url}}, {"type": "text", "text": "u"},
    ]  # fmt: skip
    assert chat_messages(prompt, placeholders=True)[1]["content"][0] == {"type": "image"}
    assert estimate_prompt_tokens(prompt) - estimate_prompt_tokens(Prompt(tuple(
        Message(one.role, one.content) for one in prompt.messages))) == picture.tokens >= 1000  # fmt: skip
    assert Picture.of(b"x", "image/png", 2800, 2800).tokens > 10_000


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gone.png", "cannot read .*gone.png"),
        ("not.png", "is no whole picture of one of the kinds PNG, JPEG, GIF, WEBP"),
        ("cut.png", "is no whole picture"),
        ("bomb.png", "is no whole picture"),
        ("large.png", "at most 20,971,520 are taken"),
        ("drawing.svg", "is no whole picture"),
        ("data:image/png;base64,!!!", "its data are not base64"),
        ("data:text/html,<b>", "is not data:image/TYPE;base64"),
        ("http://127.0.0.1:9/a.png", r"is at http://127.0.0.1:9/a.png; .* or add \?fetch=true"),
        ("ftp://127.0.0.1/a.png", "neither a path nor a web address"),
        ("a\0b.png", "cannot read"),
        (7, "no path, URL or data, but 7"),
    ],
)
def test_what_is_no_picture_is_refused_where_it_stands(tmp_path: Path, source: Any, message: str) -> None:
    (tmp_path / "not.png").write_text("<svg onload=alert(1)>")
    (tmp_path / "drawing.svg").write_text("<svg/>")
    (tmp_path / "cut.png").write_bytes(png(size=(300, 300))[:-40])
    header = bytearray(png(size=(10, 10)))
    header[16:24] = (1 << 20).to_bytes(4, "big") * 2
    (tmp_path / "bomb.png").write_bytes(bytes(header))
    (tmp_path / "large.png").write_bytes(b"x" * ((20 << 20) + 1))
    path = rows(tmp_path / "p.jsonl", {"question": "?", "shown": source, "answer": "1"})
    with pytest.raises(UserError, match=message) as raised:
        load_problems(f"{path}?pictures=shown")
    assert "p.jsonl, line 1, picture 1" in str(raised.value)


def test_a_column_that_is_only_called_image_is_left_alone(tmp_path: Path) -> None:
    path = rows(tmp_path / "p.jsonl", {"question": "?", "image": "a portrait of a lady", "answer": "1"})
    assert load_problems(str(path))[0].pictures == ()
    with pytest.raises(UserError, match="no column 'figure'"):
        load_problems(f"{path}?pictures=figure")


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Answers every chat with a box, keeps what it was asked, and serves one picture."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(png("white") if self.path == "/a.png" else b'{"data": [{"id": "m"}]}')

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if "max_tokens" not in body and "max_completion_tokens" not in body:
                self.send_error(404)
                return
            asked.append(body)
            message = {"role": "assistant", "content": f"I see \\boxed{{{len(asked) % 3}}}"}
            usage = {"prompt_tokens": 9, "completion_tokens": 5}
            choices = [{"index": 0, "finish_reason": "stop", "message": message}]
            self._send(json.dumps({"id": "x", "choices": choices, "usage": usage}).encode())

        def _send(self, data: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.asked = asked  # type: ignore[attr-defined]
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield serving
    serving.shutdown()
    serving.server_close()


def test_a_run_shows_each_picture_once_and_first_and_stores_it_once(
    pictured: Path, server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    url, out = f"http://127.0.0.1:{server.server_port}/v1", tmp_path / "run"

    def run() -> None:
        evolve(str(pictured), "rsa", "openai:m", engine={"base_url": url}, out=out, population=4, parents=2,
               generations=3, limit=2)  # fmt: skip

    run()
    asked: list[dict[str, Any]] = server.asked  # type: ignore[attr-defined]
    assert len(asked) == 2 * 4 * 3
    one, two = (problem.pictures for problem in load_problems(str(pictured), limit=2))
    starts = set()
    for body in asked:
        (user,) = [message for message in body["messages"] if message["role"] == "user"]
        *shown, text = user["content"]
        assert text["type"] == "text"
        expected = one if "Which colour?" in text["text"] else two
        assert [part["image_url"]["url"] for part in shown] == [picture.url for picture in expected]
        assert "base64" not in text["text"]
        starts.add(json.dumps(shown))
    assert len(starts) == 2, "one beginning a problem, shared by its first and its aggregation prompts"
    assert any("I see" in body["messages"][-1]["content"][-1]["text"] for body in asked), (
        "no aggregation prompt"
    )
    run()
    assert len(asked) == 2 * 4 * 3, "a finished run asks nobody"
    stored = sqlite3.connect(out / "run.db")
    tables = [name for (name,) in stored.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    held: Counter[str] = Counter()
    for name in tables:
        held[name] = sum(one[0].url[30:80] in str(row) for row in stored.execute(f"SELECT * FROM {name}"))
    stored.close()
    assert {name: count for name, count in held.items() if count} == {"problems": 2}


def test_an_address_is_fetched_when_problems_are_read_and_only_if_asked_for(
    tmp_path: Path, server: ThreadingHTTPServer
) -> None:
    base = f"http://127.0.0.1:{server.server_port}"
    path = rows(tmp_path / "p.jsonl", {"question": "?", "images": [f"{base}/a.png"], "answer": "1"})
    (one,) = load_problems(f"{path}?fetch=true")
    assert one.pictures[0].data == png("white")
    gone = rows(tmp_path / "q.jsonl", {"question": "?", "images": [f"{base}/models.png"], "answer": "1"})
    with pytest.raises(UserError, match="is no whole picture"):
        load_problems(f"{gone}?fetch=true")


def test_a_model_that_sees_nothing_is_refused_before_a_token_is_spent(pictured: Path, tmp_path: Path) -> None:
    asked: list[Request] = []

    def reply(request: Request) -> str:
        asked.append(request)
        return "\\boxed{1}"

    blind = Scripted(reply)
    blind.pictures = False
    with pytest.raises(
        UserError, match=r"3 of 4 problems hold pictures, and the model 'scripted' takes text alone"
    ):
        evolve(str(pictured), "rsa", blind, out=tmp_path / "run", population=2, parents=1, generations=2)
    assert asked == []
    seeing = Scripted(reply)
    several = [(seeing, seeing), (seeing, blind)]
    assert [takes_pictures(Replicas(each)) for each in several] == [True, False]
    assert [takes_pictures(Recorded(tmp_path / "f", one)) for one in (seeing, blind)] == [True, False]
