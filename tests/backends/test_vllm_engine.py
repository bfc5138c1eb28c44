"""A real vLLM engine in this program, with the tiny model that ships. One start serves the whole file."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
from asking import ask
from fly_reference import reference
from vllm_here import requires_vllm
from vllm_lent import READY_WITHIN, Engine, Lent, in_letters, write_adapter

from evolve_llm import evolve
from evolve_llm.backends.base import Load
from evolve_llm.backends.fly import FOLDER
from evolve_llm.backends.vllm.backend import vllm
from evolve_llm.backends.vllm.engine import engine_values
from evolve_llm.backends.vllm.options import engine_arguments
from evolve_llm.backends.vllm.reasoning import reasoning_for
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.errors import BackendError, RequestError, UserError
from evolve_llm.nouns.request import Completion, Prompt, Request
from evolve_llm.testing import BackendContract, contents, database

pytestmark = [requires_vllm, pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(READY_WITHIN + 300)]

ADAPTED = 7
"""The generation from which the adapter answers; every other test stays below it."""

SMALL: dict[str, Any] = {"population": 6, "parents": 2, "generations": 3, "sampling": {"max_tokens": 40}}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    adapter = write_adapter(tmp_path_factory.mktemp("lora") / "adapter", strength=0.3)
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    with Engine(vllm("fly", lora=str(adapter), lora_from=ADAPTED, max_num_seqs="16")) as started:
        yield started
        assert [one.name() for one in psutil.Process().children(recursive=True) if one.pid not in before]
    # multiprocessing's own tracker of shared memory stays until Python ends
    left = [one for one in psutil.Process().children(recursive=True) if one.pid not in before]
    assert [one for one in left if "VLLM" in one.name()] == []


@pytest.fixture
def lent(engine: Engine) -> Lent:
    return Lent(engine)


def answers(engine: Engine, *requests: Request) -> list[Any]:
    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*map(engine.backend.generate, requests), return_exceptions=True)

    return engine.do(all_of_them())


class TestContract(BackendContract):
    """The contract's questions in letters that the fly knows."""

    refused = "a" * 600
    seconds: ClassVar[float] = 2.0

    @pytest.fixture(autouse=True)
    def _lent(self, engine: Engine) -> None:
        type(self).make = staticmethod(lambda: Lent(engine, in_letters))


def test_what_it_says_of_itself(engine: Engine) -> None:
    assert engine.info.context_length == 512
    details = engine.info.details
    assert details["engine"].startswith("vllm ")
    assert (details["dtype"], details["device"]) == (
        "float32",
        "cpu" if "cpu" in details["device"] else "cuda",
    )
    assert details["fingerprint"].endswith(details["lora"])
    assert engine.backend.capacity == 16


def test_counts_are_exact_and_tokens_are_where_they_are(engine: Engine) -> None:
    prompt = Prompt.user("<a5037;>")
    (answer,) = answers(engine, ask("<a5037;>", max_tokens=4))
    assert engine.do(engine.backend.count_tokens(prompt)) == 8 == answer.prompt_tokens
    assert engine.do(engine.backend.token_starts("a1669.")) == [0, 1, 2, 3, 4, 5]
    assert engine.do(engine.backend.token_starts("")) == []


def test_the_end_of_a_chain_and_the_end_of_its_tokens_are_told_apart(engine: Engine) -> None:
    whole, cut, stopped = answers(
        engine,
        ask("<a5037;>", max_tokens=40),
        ask("<a5037;>", max_tokens=3),
        ask("<a5037;>", max_tokens=40, stop=(".",)),
    )
    assert (whole.finish_reason, whole.text[-1]) == ("stop", ".")
    assert (cut.finish_reason, cut.completion_tokens, len(cut.text)) == ("length", 3, 3)
    assert (stopped.finish_reason, stopped.text) == ("stop", whole.text[:-1])


def test_a_prefix_that_was_seen_is_counted_as_cached(engine: Engine) -> None:
    prompt = "<a3469.|" * 12
    first, second = (answers(engine, ask(prompt, max_tokens=1))[0] for _ in range(2))
    assert first.cached_tokens == 0
    assert 0 < second.cached_tokens < second.prompt_tokens == 96


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**63 - 1])
def test_a_seed_gives_the_same_text_again_alone_and_in_a_batch(engine: Engine, seed: int) -> None:
    requests = [ask("<a5037;b9372;>", seed=seed if i == 9 else 100 + i, max_tokens=40) for i in range(16)]
    together = answers(engine, *requests)
    assert len({one.text for one in together}) > 3
    assert answers(engine, requests[9])[0].text == together[9].text


def test_samplers_do_what_they_say(engine: Engine) -> None:
    greedy = answers(engine, *(ask("<a5037;>", seed=i, temperature=0.0, max_tokens=40) for i in range(4)))
    topped = answers(engine, *(ask("<a5037;>", seed=i, top_k=1, max_tokens=40) for i in range(4)))
    sure = answers(engine, *(ask("<a5037;>", seed=i, min_p=1.0, max_tokens=40) for i in range(4)))
    assert len({one.text for one in [*greedy, *topped, *sure]}) == 1


def test_log_probabilities_are_those_of_the_model(engine: Engine) -> None:
    """The same as transformers' in float32, of every drawn token and of the ten likeliest first ones."""
    prompts = ["<a5037;>", "<a5037;b9372;>", "<a5780.b9932B|a1669.b0000.|a5037;b9372;>"]
    asked = [replace(ask(one, seed=i, max_tokens=40), logprobs=True) for i, one in enumerate(prompts * 2)]
    model = reference()
    for request, got in zip(asked, answers(engine, *asked), strict=True):
        rows = model.after(model.template(request.prompt.messages[0].content), got.text)
        drawn = [*got.text, *(["<eos>"] * (got.completion_tokens - len(got.text)))]
        wanted = [row[token] for row, token in zip(rows, drawn, strict=False)]
        assert len(got.logprobs) == got.completion_tokens == len(wanted)
        assert got.logprobs == pytest.approx(wanted, abs=1e-4)
        likeliest = sorted(rows[0].values(), reverse=True)[:10]
        assert [value for _, value in got.first_token] == pytest.approx(likeliest, abs=1e-4)
        assert all(
            rows[0].get(token or "<eos>", value) == pytest.approx(value, abs=1e-4)
            for token, value in got.first_token
        )


def test_the_adapter_answers_from_its_generation_on(engine: Engine) -> None:
    def first(generation: int) -> Completion:
        request = replace(
            ask("<a5037;>", address=Address(generation, 0, "vary", 0), max_tokens=1), logprobs=True
        )
        (found,) = answers(engine, request)
        assert isinstance(found, Completion)
        return found

    base = reference().after(reference().template("<a5037;>"), "")[0]
    before, after = dict(first(ADAPTED - 1).first_token), dict(first(ADAPTED).first_token)
    assert all(
        base[token] == pytest.approx(value, abs=1e-4) for token, value in before.items() if token in base
    )
    assert max(abs(base[token] - value) for token, value in after.items() if token in base) > 0.01


def test_a_request_that_cannot_be_leaves_the_engine_well(engine: Engine) -> None:
    long, letter, warm, fine = answers(
        engine, ask("a" * 512), ask("What is 2+2?"), ask("<a5037;>", temperature=9.0), ask("<a5037;>")
    )
    assert isinstance(long, RequestError)
    assert (long.reason, "window has 512" in str(long)) == ("context_overflow", True)
    assert isinstance(letter, RequestError)
    assert "'W'" in str(letter)
    assert isinstance(warm, RequestError)
    assert (warm.reason, "temperature" in str(warm)) == ("bad_request", True)
    assert isinstance(fine, Completion)
    (last,) = answers(engine, ask("a" * 511, max_tokens=40))
    assert (last.completion_tokens, last.finish_reason) in ((1, "length"), (1, "stop"))


def test_requests_beyond_the_batch_wait_and_cancelling_frees_it(engine: Engine) -> None:
    backend = engine.backend

    async def story() -> tuple[Load | None, Load | None, int]:
        many = [
            asyncio.create_task(backend.generate(ask("<a5037;>" * 8, seed=i, max_tokens=400)))
            for i in range(60)
        ]
        while (busy := await backend.load()) is None or busy.running + busy.waiting < 60:
            await asyncio.sleep(0.01)
            if any(one.done() for one in many):
                break
        for one in many:
            one.cancel()
        await asyncio.gather(*many, return_exceptions=True)
        freed = await backend.load()
        assert isinstance(await backend.generate(ask("<a5037;>")), Completion)
        unfinished = backend._engine.get_num_unfinished_requests()
        return busy, freed, unfinished

    busy, freed, unfinished = engine.do(story())
    assert busy is not None
    assert busy.running <= 16
    assert busy.waiting > 0
    assert freed == Load(0, 0)
    assert unfinished == 0


# ---------------------------------------------------------------- runs


def test_the_papers_preset_runs_from_end_to_end(lent: Lent, tmp_path: Path) -> None:
    run = evolve("locks", "rsa", lent, limit=3, out=tmp_path / "run", **SMALL)
    assert run.complete
    rows = contents(tmp_path / "run")
    assert len(rows["completions"]) == 3 * 6 * 3 == len(lent.requests)
    assert all(
        row.fraction_failed == 0 if hasattr(row, "fraction_failed") else True for row in run.generations()
    )
    first, last = (run.generations()[place].plain()["pass@1"] for place in (0, -1))
    assert 0 <= first <= 1
    assert 0 <= last <= 1


def test_one_seed_is_one_plan_at_any_concurrency(
    engine: Engine, tmp_path: Path, record_property: Any
) -> None:
    """And the texts too, on this machine: their share is recorded, since floating point promises it nowhere."""
    asked: dict[int, dict[str, Request]] = {}
    stored = {}
    for concurrency in (1, 64):
        lent = Lent(engine)
        out = tmp_path / str(concurrency)
        evolve("locks", "rsa", lent, limit=3, seed=5, concurrency=concurrency, out=out, **SMALL)
        asked[concurrency] = {one.id: one for one in lent.requests}
        stored[concurrency] = contents(out)
    assert asked[1].keys() == asked[64].keys()
    assert {key: one.seed for key, one in asked[1].items()} == {
        key: one.seed for key, one in asked[64].items()
    }
    first = [key for key, one in asked[1].items() if one.address.generation == 0]
    assert all(asked[1][key] == asked[64][key] for key in first)
    parents = [[row[:5] for row in stored[one]["candidates"]] for one in (1, 64)]
    assert parents[0] == parents[1]
    same = sum(asked[1][key] == asked[64][key] for key in asked[1])
    record_property("requests that are equal at concurrency 1 and 64", f"{same} of {len(asked[1])}")
    record_property("equal bytes", database(tmp_path / "1") == database(tmp_path / "64"))
    print(f"equal requests at concurrency 1 and 64: {same} of {len(asked[1])}")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"sampling": {"max_tokens": 600}}, "512"),
        ({"sampling": {"max_tokens": 505}}, "512"),
    ],
)
def test_a_window_too_small_for_the_preset_is_found_before_anything_is_spent(
    lent: Lent, tmp_path: Path, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        evolve("locks", "rsa", lent, limit=2, out=tmp_path / "run", **{**SMALL, **changes})
    assert lent.requests == []


# ---------------------------------------------------------------- what needs vLLM, but no other engine


def test_engine_arguments_are_read_as_by_vllms_own_command_line(engine: Engine) -> None:
    del engine  # imported by now
    import vllm.engine.arg_utils as library

    got = engine_arguments(
        library,
        {
            "model": "m",
            "max_model_len": "4k",
            "gpu_memory_utilization": "0.5",
            "enforce_eager": "true",
            "enable_prefix_caching": False,
            "tensor_parallel_size": 2,
            "hf_overrides": {"rope_theta": 1e6},
            "dtype": "bfloat16",
            "seed": "3",
        },
    )
    assert (got.max_model_len, got.gpu_memory_utilization, got.enforce_eager) == (4000, 0.5, True)
    assert (got.enable_prefix_caching, got.tensor_parallel_size, got.seed) == (False, 2, 3)
    assert (got.hf_overrides, got.dtype) == ({"rope_theta": 1e6}, "bfloat16")
    for bad in ({"dtype": "float7"}, {"max_num_seqs": "many"}, {"enforce_eager": "maybe"}):
        with pytest.raises(UserError, match=next(iter(bad))):
            engine_arguments(library, {"model": "m", **bad})


def test_our_defaults_give_way_to_what_is_set(engine: Engine) -> None:
    del engine
    values = engine_values("m", {"generation_config": "auto"})
    assert (values["generation_config"], values["enable_prefix_caching"]) == ("auto", True)


def test_an_unknown_parser_of_thinking_lists_those_that_exist(engine: Engine) -> None:
    tokenizer = engine.backend._engine.get_tokenizer()
    with pytest.raises(UserError, match=r"'qwen'.*Did you mean 'qwen3'.*deepseek_r1.*openai_gptoss"):
        reasoning_for("qwen", "fly", tokenizer, {})
    with pytest.raises(UserError, match="does not fit the model 'fly'"):
        reasoning_for("deepseek_r1", "fly", tokenizer, {})


def test_thinking_is_split_by_vllms_parser(engine: Engine) -> None:
    del engine
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)
    tokenizer.add_tokens(["<think>", "</think>"], special_tokens=True)
    parser = reasoning_for("deepseek_r1", "fly", tokenizer, {})
    assert parser.split("<think>hm so</think>42", []) == ("hm so", "42")
    assert parser.split("hm so</think>42", []) == ("hm so", "42")
    assert parser.split("<think>hm so", []) == ("hm so", "")


def test_a_model_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    del engine
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # or it tries again and again
    backend = vllm("no-such-maker/no-such-model")

    async def story() -> None:
        try:
            await backend.start()
        finally:
            await backend.close()

    with pytest.raises(
        BackendError, match=r"cannot find or read the model 'no-such-maker/no-such-model'.*hub"
    ):
        asyncio.run(story())


def test_every_log_probability_is_one(engine: Engine) -> None:
    (got,) = answers(engine, replace(ask("<a5037;>", max_tokens=40), logprobs=True))
    assert all(value <= 0 and math.isfinite(value) for value in got.logprobs)
    assert sum(math.exp(value) for _, value in got.first_token) < 1.001


def test_another_engine_with_another_batch_size_and_no_adapter(engine: Engine, record_property: Any) -> None:
    """A life of its own, from start to a second close: no process stays. Its texts are compared, not promised."""
    questions = [f"<a{i % 10}{(3 * i) % 10}3{i % 7};b{(i + 4) % 10}37{i % 3};>" for i in range(64)]
    asked = [replace(ask(one, seed=i, max_tokens=40), logprobs=True) for i, one in enumerate(questions)]
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    other = Engine(vllm("fly", max_num_seqs="4", enable_prefix_caching="false"))
    with other:
        theirs = answers(other, *asked)
        other.do(other.backend.close())
    assert [one for one in psutil.Process().children(recursive=True) if one.pid not in before] == []
    ours = answers(engine, *asked)
    same = [mine == its for mine, its in zip(_texts(ours), _texts(theirs), strict=True)]
    for mine, its in zip(ours, theirs, strict=True):
        assert mine.first_token[0][1] == pytest.approx(its.first_token[0][1], abs=1e-4)
    record_property("texts equal in another engine", f"{sum(same)} of {len(same)}")
    print(f"texts equal in another engine: {sum(same)} of {len(same)}")


def _texts(given: list[Completion]) -> list[str]:
    return [one.text for one in given]
