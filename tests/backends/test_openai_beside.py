"""What a server tells beside the API: token counts, where tokens start, how busy it is."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from asking import ask, run
from fake_server import MODEL, FakeServer, chat_text, spelled, triples
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.backends.base import Load, load_of, token_starts
from evolve_llm.backends.openai.backend import openai
from evolve_llm.backends.openai.load import read_load
from evolve_llm.backends.openai.options import root_of
from evolve_llm.backends.openai.tokens import byte_level, sentence_piece, starts_of
from evolve_llm.backends.tokens import estimate_prompt_tokens
from evolve_llm.nouns.request import Message, Prompt

PROMPT = Prompt((Message("system", "be brief"), Message("user", "sum 1, 2 and é😀")))
COUNT = len(triples(chat_text([{"role": one.role, "content": one.content} for one in PROMPT.messages])))
IMPATIENT = {"backoff": 0.01, "backoff_limit": 0.02, "deadline": 20, "attempt_timeout": 5}
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("▁Ġé😀 \n<0x>"), max_size=30)


@given(texts, st.lists(st.integers(0, 120)), st.booleans())
def test_starts_are_the_characters_in_which_pieces_begin(text: str, cuts: list[int], prefixed: bool) -> None:
    data = text.encode()
    places = sorted({0, *(cut for cut in cuts if cut < len(data))}) if data else []
    pieces = [data[a:b] for a, b in zip(places, [*places, len(data)][1:], strict=True)]
    by_hand = [len(data[:place].decode(errors="ignore")) for place in places]
    if prefixed and pieces:
        pieces[0] = b" " + pieces[0]
    assert starts_of(pieces, text) == by_hand
    assert [byte_level(spelled(piece)) for piece in pieces] == pieces


@given(texts, st.lists(st.binary(max_size=4), max_size=6))
def test_pieces_that_are_not_the_text_are_not_believed(text: str, pieces: list[bytes]) -> None:
    found = starts_of(pieces, text)
    if b"".join(pieces) not in (text.encode(), b" " + text.encode()):
        assert found is None
    else:
        assert found is not None
        assert found == sorted(found)
        assert len(found) == len(pieces)


def test_the_spellings_of_vocabularies() -> None:
    assert byte_level("Ġhello") == b" hello"
    assert byte_level("Ċ") == b"\n"
    assert byte_level("<｜end▁of▁text｜>") == "<｜end▁of▁text｜>".encode()
    assert sentence_piece("▁hello") == b" hello"
    assert sentence_piece("<0xF0>") == b"\xf0"


def test_a_text_that_is_normalised_on_its_way_is_not_placed() -> None:
    assert starts_of([sentence_piece("▁fi")], "ﬁ") is None


@pytest.mark.parametrize("kind", ["vllm", "llamacpp"])
@pytest.mark.parametrize("owner", ["its own", "hidden by a gateway"])
def test_counts_and_starts_are_the_servers(kind: str, owner: str) -> None:
    async def story(server: FakeServer) -> None:
        one = openai(MODEL, base_url=server.url, **IMPATIENT)
        info = await one.start()
        assert info.details["prompt lengths"] == "counted by the server"
        assert not server.bodies, "the start has spent tokens"
        assert await one.count_tokens(PROMPT) == COUNT
        assert await token_starts(one, "aé😀b") == [0, 2, 2]
        assert await token_starts(one, "half a pair \ud800") == [0, 3, 6, 9, 12]
        assert await token_starts(one, "") == []
        await one.close()

    with FakeServer(tokenizer=kind, owner=kind if owner == "its own" else "proxy") as server:
        run(story(server))


def test_what_changes_the_template_is_counted_with_it() -> None:
    async def story(server: FakeServer) -> None:
        template = {"chat_template_kwargs": {"enable_thinking": False}}
        one = openai(MODEL, base_url=server.url, extra_body={**template, "min_tokens": 3}, **IMPATIENT)
        await one.start()
        await one.count_tokens(PROMPT)
        path, body = server.beside[-1]
        assert path == "/tokenize"
        assert body == {
            "model": MODEL,
            "messages": [{"role": one.role, "content": one.content} for one in PROMPT.messages],
            **template,
        }
        await one.close()

    with FakeServer(tokenizer="vllm") as server:
        run(story(server))


@pytest.mark.parametrize("owner", ["vllm", "llamacpp", "somebody"])
def test_a_server_without_it_is_estimated(owner: str) -> None:
    async def story(server: FakeServer) -> None:
        one = openai(MODEL, base_url=server.url, **IMPATIENT)
        info = await one.start()
        assert info.details["prompt lengths"] == "estimated"
        asked = len(server.beside)
        assert await one.count_tokens(PROMPT) == estimate_prompt_tokens(PROMPT)
        assert await token_starts(one, "text") is None
        assert len(server.beside) == asked <= 3, "it is asked once, at the start"
        await one.close()

    with FakeServer(owner=owner) as server:
        run(story(server))


def test_trouble_is_waited_out_and_lasting_trouble_is_an_estimate_and_no_end() -> None:
    async def story(server: FakeServer) -> None:
        one = openai(MODEL, base_url=server.url, **IMPATIENT)
        server.trouble = [503, 500]
        await one.start()
        server.trouble = [429, 503]
        assert await one.count_tokens(PROMPT) == COUNT
        server.trouble = [500] * 3
        assert await one.count_tokens(PROMPT) == estimate_prompt_tokens(PROMPT)
        server.trouble = [400]
        assert await token_starts(one, "text") is None
        server.trouble = [401]
        assert await one.count_tokens(PROMPT) == estimate_prompt_tokens(PROMPT)
        assert await one.count_tokens(PROMPT) == COUNT
        server.stop()
        assert await one.count_tokens(PROMPT) == estimate_prompt_tokens(PROMPT)
        await one.close()
        assert await one.count_tokens(PROMPT) == estimate_prompt_tokens(PROMPT)

    with FakeServer(tokenizer="vllm") as server:
        run(story(server))


METRICS = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a}b"} 3.0
vllm:num_requests_running{engine="1",model_name="a}b"} 4.0
vllm:num_requests_waiting{engine="0",model_name="a}b"} 1.0
vllm:num_requests_waiting{engine="1",model_name="a}b"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 70.0
"""


@pytest.mark.parametrize(
    ("text", "load"),
    [
        (METRICS, Load(7, 1)),
        ("llamacpp:requests_processing 2\nllamacpp:requests_deferred 5\n", Load(2, 5)),
        ("vllm:num_requests_running 2\n", None),
        ("vllm:num_requests_running NaN\nvllm:num_requests_waiting 1\n", None),
        ("vllm:num_requests_running many\nvllm:num_requests_waiting 1\n", None),
        ("<html>vllm:num_requests_running 1</html>", None),
        ("", None),
    ],
)
def test_the_gauges_of_a_metrics_page(text: str, load: Load | None) -> None:
    assert read_load(text) == load


@given(st.text())
def test_any_page_is_read(text: str) -> None:
    assert read_load(text) is None


def test_the_load_is_asked_for_once_a_moment_and_survives_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(server: FakeServer) -> None:
        one = openai(MODEL, base_url=server.url, **IMPATIENT)
        assert await load_of(one) is None
        await one.start()
        one._load = None
        server.beside.clear()
        assert await asyncio.gather(*(load_of(one) for _ in range(20))) == [Load(7, 1)] * 20
        assert len(server.beside) == 1
        monkeypatch.setattr("evolve_llm.backends.openai.backend.LOAD_LASTS", 0.0)
        server.trouble = [500]
        assert await load_of(one) is None
        assert await load_of(one) == Load(7, 1)
        await one.close()

    with FakeServer(metrics=METRICS) as server:
        run(story(server))


def test_a_server_without_a_load_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolve_llm.backends.openai.backend.LOAD_LASTS", 0.0)

    async def story(server: FakeServer) -> None:
        one = openai(MODEL, base_url=server.url, **IMPATIENT)
        await one.start()
        assert [await load_of(one) for _ in range(3)] == [None] * 3
        assert [path for path, _ in server.beside].count("/metrics") == 1
        assert (await one.generate(ask())).text == "echo: hello"
        await one.close()

    with FakeServer() as server:
        run(story(server))


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://a:8000/v1", "http://a:8000"),
        ("http://a:8000/v1/", "http://a:8000"),
        ("https://a/proxy/v1?x=1", "https://a/proxy"),
        ("http://a:8000", "http://a:8000"),
        ("http://u:p@a/api", "http://u:p@a/api"),
    ],
)
def test_beside_the_api_is_where_the_base_url_has_v1(url: str, root: str) -> None:
    assert root_of(url) == root


@pytest.mark.model
def test_a_real_llama_cpp_server_counts_what_it_will_bill() -> None:
    """The server inside the embedded engine, reached through its port."""
    pytest.importorskip("xllamacpp")
    from evolve_llm.backends.llama_cpp.backend import local

    texts = ["hello", "héllo 😀 world 12\n\n  x", "<|im_end|> in a text", "日本語 \\frac{1}{2}"]

    async def story() -> list[Any]:
        engine = local(n_parallel=2, context_length=512, n_threads=1)
        await engine.start()
        name = await asyncio.to_thread(_served_name, engine)
        server = openai(name, base_url=f"{engine._address}/v1", api_key=engine._key, capacity=2)
        try:
            assert (await server.start()).details["prompt lengths"] == "counted by the server"
            counts = [await server.count_tokens(Prompt.user(text)) for text in texts]
            given = await asyncio.gather(*(server.generate(ask(text, max_tokens=1)) for text in texts))
            assert counts == [one.prompt_tokens for one in given]
            assert await server.load() is None  # it is started without --metrics
            return [await token_starts(server, text) for text in texts]
        finally:
            await server.close()
            await engine.close()

    starts = run(story(), limit=120)
    assert starts[0] == [0]
    assert starts[1][:5] == [0, 1, 2, 5, 6]  # h é llo, then the space with most of the emoji, then its rest
    assert all(found == sorted(found) and found[0] == 0 for found in starts)


def _served_name(engine: Any) -> str:
    place = urlsplit(engine._address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    try:
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {engine._key}"})
        return str(json.loads(connection.getresponse().read())["data"][0]["id"])
    finally:
        connection.close()
