"""What the comparison with other implementations rests on: equal lengths, true counts, equal prompts, true ratios."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import sys
from pathlib import Path

import pytest
from evolve_llm_operators.crossover import aggregate
from evolve_llm_operators.mutation import sample
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm import Candidate, Problem

FOLDER = Path(__file__).parents[2] / "experiments" / "throughput"
sys.path.insert(0, str(FOLDER))

import peers  # noqa: E402
from simulated import Engine, Speed  # noqa: E402
from traffic import Lengths, Traffic, imposed, read_body, send_json  # noqa: E402

sys.path.remove(str(FOLDER))

RSA_LIKE = Lengths(1800, 0.8, 32, 8192)


def test_a_seed_has_one_row_of_lengths_and_it_has_a_heavy_tail():
    row = list(itertools.islice(RSA_LIKE.row(3), 4000))
    assert row == list(itertools.islice(RSA_LIKE.row(3), 4000))
    assert row != list(itertools.islice(RSA_LIKE.row(4), 4000))
    assert min(row) >= 32
    assert max(row) == 8192
    assert 1650 < sorted(row)[2000] < 1950  # the median
    assert 0.18 < sum(length > 2 * 1800 for length in row) / 4000 < 0.21  # 1 - Phi(ln 2 / 0.8) = .193


def test_every_way_to_ask_for_a_length_is_overruled():
    body = {"max_tokens": 9, "max_completion_tokens": 8, "stop": ["x"], "stream": True, "seed": 5}
    assert imposed(body, 77) == {"max_tokens": 77, "ignore_eos": True, "stream": False, "seed": 5}


class Client:
    """Calls an ASGI application."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, path, body=None):
        sent = []

        async def receive():
            return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "path": path, "headers": [(b"content-length", b"3"), (b"x-a", b"b")]}
        await self.app(scope, receive, send)
        return json.loads(b"".join(message.get("body", b"") for message in sent))


async def obedient(scope, receive, send):
    """Writes as many tokens as it is told; fails where the prompt says so."""
    raw = await read_body(receive)
    body = json.loads(raw)
    assert dict(scope["headers"])[b"content-length"] == str(len(raw)).encode()
    await asyncio.sleep(0.01)
    if body["messages"] == "fail":
        await send_json(send, {"error": "no"}, 500)
    else:
        await send_json(send, {"usage": {"prompt_tokens": 3, "completion_tokens": body["max_tokens"]}})


def test_the_middleware_gives_each_request_the_next_length_and_counts_what_passes():
    async def story():
        call = Client(Traffic(obedient))
        lengths = {"median": 20, "sigma": 0.8, "low": 2, "high": 96}
        await call("/study/begin", {"seed": 5, "lengths": lengths})
        chat = "/v1/chat/completions"
        answers = await asyncio.gather(*(call(chat, {"messages": "", "max_tokens": 1}) for _ in range(4)))
        await call(chat, {"messages": "fail"})
        counts = await call("/study/counts")
        await call("/study/begin", {"seed": 5, "lengths": lengths})
        return [one["usage"]["completion_tokens"] for one in answers], counts, await call("/study/counts")

    written, counts, after = asyncio.run(story())
    expected = list(itertools.islice(Lengths(20, 0.8, 2, 96).row(5), 4))
    assert written == expected
    assert (counts["requests"], counts["failed"], counts["peak"]) == (5, 1, 4)
    assert (counts["prompt_tokens"], counts["completion_tokens"]) == (12, sum(expected))
    assert 1.5 < counts["in_flight"] < 4  # four at once, then one
    assert after["requests"] == after["completion_tokens"] == after["in_flight"] == 0


def test_one_request_takes_a_step_a_token():
    speed = Speed()
    engine = Engine(speed)
    engine.add(1000, 50, "a")
    ended = [engine.step() for _ in range(50)]
    assert ended == [[]] * 49 + [["a"]]
    assert engine.idle
    assert engine.now == pytest.approx(50 * speed.base + 49 * speed.each + 1000 / speed.prefill)


def test_a_long_prompt_is_read_in_pieces_while_others_are_written():
    engine = Engine(Speed(tokens=100))
    engine.add(10, 8, "short")
    engine.step()
    engine.add(250, 1, "long")  # 99 tokens a step beside the one that is written
    assert [engine.step() for _ in range(3)] == [[], [], ["long"]]


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 40)), min_size=1, max_size=30), st.integers(1, 6)
)
def test_every_request_ends_once_and_the_batch_is_never_larger_than_it_may_be(requests, batch):
    engine = Engine(Speed(batch=batch, tokens=64))
    for number, (prompt, length) in enumerate(requests):
        engine.add(prompt, length, number)
    ended = []
    while not engine.idle:
        ended += engine.step()
        assert engine.load[0] <= batch
    assert sorted(ended) == list(range(len(requests)))
    assert engine.steps >= max(sum(length for _, length in requests) / batch, max(r[1] for r in requests))


def program(name):
    spec = importlib.util.spec_from_file_location(f"adapter_{name}", FOLDER / "peers" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["rsaharness", "squeeze"])
def test_the_peers_read_the_prompts_that_evolve_llm_writes(name):
    problem = Problem("p", "a5037;b9372;", "locks")
    chains = ["a5780.b9932B", "a9527Ab9932B", "a0000."]
    parents = [Candidate("p", 0, slot, "sample", text) for slot, text in enumerate(chains)]
    theirs = program(name).prompt
    assert theirs(problem.question, []) == sample(problem).messages[0].content
    assert theirs(problem.question, chains) == aggregate(problem, parents).messages[0].content


def test_a_checkout_is_told_from_what_it_contains(tmp_path):
    (tmp_path / "rsa").mkdir()
    with pytest.raises(SystemExit, match="neither a checkout of RSAHarness"):
        peers.kind_of(tmp_path)
    (tmp_path / "rsa" / "engine.py").write_text("a = 1\n")
    assert peers.kind_of(tmp_path) == "RSAHarness"
    before = peers.fingerprint(tmp_path)
    (tmp_path / "rsa" / "engine.py").write_text("a = 2\n")
    assert peers.fingerprint(tmp_path) != before
    (tmp_path / "other" / "src" / "squeeze_evolve").mkdir(parents=True)
    assert peers.kind_of(tmp_path / "other") == "Squeeze-Evolve"


def runs(*seconds):
    return [peers.Measured(one, 80, 0, 1000, 600, 12.0, 16) for one in seconds]


def test_the_ratio_is_taken_run_by_run():
    row = peers.summary(runs(10, 20, 30), runs(15, 20, 60))
    assert row["times as fast"] == {"median": 1.5, "lowest": 1.0, "highest": 2.0}
    assert row["peer"]["seconds"] == 20
    assert row["evolve-llm"]["generated tokens/s"] == 30.0


def test_one_slow_run_is_enough_to_have_been_slower():
    rows = {1: peers.summary(runs(10, 20), runs(20, 19)), 8: peers.summary(runs(10), runs(11))}
    shown = {one["claim"]: one["shown"] for one in peers.claims("RSAHarness", rows, False)}
    assert shown == {
        "never slower": False,
        "1.2 times as fast, 1 problem(s)": True,
        "1.2 times as fast, 8 problem(s)": False,
    }


def test_four_times_the_defaults_is_claimed_of_the_defaults_alone():
    rows = {30: peers.summary(runs(10), runs(41))}
    assert [one["shown"] for one in peers.claims("Squeeze-Evolve", rows, False)] == [True]
    assert peers.claims("Squeeze-Evolve", rows, True) == []
