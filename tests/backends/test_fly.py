"""The model this package carries: what is refused, and that it is the model it is said to be."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from asking import ask, run, use
from evolve_llm_problems import locks

from evolve_llm.backends.fly import (
    FILE_NAME,
    FOLDER,
    SHIPPED,
    SUMS_NAME,
    VOCABULARY,
    Fly,
    fly,
    fly_hard,
    outside,
    shipped,
    shipped_weights,
)
from evolve_llm.nouns.errors import BackendError, RequestError, UserError
from evolve_llm.nouns.request import Completion, Prompt

SAME = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def test_the_factory_takes_the_engines_options() -> None:
    assert fly().capacity == 16
    assert fly(n_parallel="4").capacity == 4
    assert fly().identity == "llama_cpp:fly"
    assert (fly().options.n_threads, fly().options.flash_attention, fly().streams) == (1, False, False)
    with pytest.raises(UserError, match="there is no trained fly in 'big'"):
        fly("big")
    with pytest.raises(UserError, match="context_length"):
        fly(context_length=4096)
    assert (fly_hard().identity, fly_hard(n_parallel="4").capacity) == ("llama_cpp:fly-hard", 4)
    with pytest.raises(
        UserError, match="fly-hard takes no argument, got 'big'; for a trained fly write fly:FOLDER"
    ):
        fly_hard("big")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_file_that_ships_has_its_checksum(name: str) -> None:
    sums = [line.split()[1] for line in (SHIPPED[name] / SUMS_NAME).read_text("ascii").splitlines()]
    assert shipped(sums, SHIPPED[name]) == SHIPPED[name]
    assert {"model.safetensors", FILE_NAME, "config.json", "tokenizer.json", "training.json"} == set(sums)


def test_the_two_flies_differ_in_their_weights_alone() -> None:
    easy, hard = ({file: (folder / file).read_bytes() for file in SAME} for folder in SHIPPED.values())
    assert easy == hard
    sizes = [(folder / FILE_NAME).stat().st_size for folder in SHIPPED.values()]
    assert sizes[0] == sizes[1]
    recipes = [json.loads((folder / "training.json").read_text("utf-8")) for folder in SHIPPED.values()]
    assert recipes[1]["recipe"]["laziness"] == 0.5 != locks.LAZINESS
    assert recipes[0]["seed"] == recipes[1]["seed"]


def test_what_the_fly_has_no_letters_for_is_named() -> None:
    assert outside(Prompt.user("".join(VOCABULARY))) is None
    fault = outside(Prompt.user("What is 2+2?"))
    assert fault is not None
    assert re.search(r"character 'W' \(place 1 of 'What is 2\+2\?'\).*problem set locks", fault)
    with pytest.raises(UserError, match="'W'"):
        run(fly().count_tokens(Prompt.user("W")))
    with pytest.raises(RequestError, match=r"bad_request.*'W'"):
        run(fly().generate(ask("W")))


def test_missing_and_damaged_weights_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"missing or cannot be read.*install evolve-llm again"):
        shipped_weights(tmp_path)
    for name in (FILE_NAME, SUMS_NAME):
        shutil.copy(FOLDER / name, tmp_path)
    assert shipped_weights(tmp_path) == tmp_path / FILE_NAME
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    with pytest.raises(BackendError, match="are damaged: their SHA-256"):
        shipped_weights(tmp_path)
    (tmp_path / SUMS_NAME).write_text("nonsense\n")
    with pytest.raises(BackendError, match="cannot be read"):
        shipped_weights(tmp_path)


def test_a_wrong_checksum_is_found_at_the_start(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"GGUF" + bytes(2000))
    (tmp_path / SUMS_NAME).write_text(f"{'0' * 64}  {FILE_NAME}\n")
    with pytest.raises(BackendError, match="damaged"):
        run(use(Fly(lambda: shipped_weights(tmp_path), name="fly"), ask("<a5037;>")))


@pytest.mark.model
@pytest.mark.parametrize(("model", "laziness"), [(fly, locks.LAZINESS), (fly_hard, 0.5)])
def test_it_writes_faultless_chains_and_copies_what_a_candidate_has_opened(
    model: Callable[[], Fly], laziness: float
) -> None:
    pytest.importorskip("xllamacpp")
    problems = list(locks.load(size=24, seed=5, laziness=laziness))
    prompts = [f"<{problem.question}>" for problem in problems]
    for problem in problems:  # one candidate with every lock open
        bundle = locks.read_question(problem.question)
        prompts.append(f"<{locks.chain(bundle, [int(key) for key in problem.reference])}|{problem.question}>")
    requests = [ask(prompt, seed=i, max_tokens=40) for i, prompt in enumerate(prompts)]

    async def story() -> tuple[int, list[Completion]]:
        backend = model()
        try:
            await backend.start()
            counted = await backend.count_tokens(Prompt.user(prompts[0]))
            return counted, list(await asyncio.gather(*map(backend.generate, requests)))
        finally:
            await backend.close()

    counted, answers = run(story())
    assert counted == len(prompts[0]) == answers[0].prompt_tokens  # a character is a token, nothing is added
    assert {answer.finish_reason for answer in answers} == {"stop"}
    sound = [locks.faultless(p.question, a.text) for p, a in zip(problems * 2, answers, strict=True)]
    assert sum(sound) >= 0.85 * len(sound)
    alone, copied = answers[:24], answers[24:]
    copies = sum(locks.guesses(a.text) == p.reference for p, a in zip(problems, copied, strict=True))
    unaided = sum(locks.guesses(a.text) == p.reference for p, a in zip(problems, alone, strict=True))
    assert copies >= 20 > unaided
