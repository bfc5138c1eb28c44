"""vLLM's options, requests, answers, adapters and thinking: all that needs no engine."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asking import ask, run
from hypothesis import given
from hypothesis import strategies as st
from vllm_here import requires_vllm
from vllm_lent import write_adapter, write_safetensors

from evolve_llm.backends.fly import FOLDER
from evolve_llm.backends.vllm import options as vllm_options
from evolve_llm.backends.vllm.backend import Vllm, VllmOptions, vllm
from evolve_llm.backends.vllm.chat import Chat, inputs
from evolve_llm.backends.vllm.child import _lives
from evolve_llm.backends.vllm.engine import _output_to, explained
from evolve_llm.backends.vllm.fly import VllmFly, shipped_folder
from evolve_llm.backends.vllm.lora import base_shapes, read_adapter
from evolve_llm.backends.vllm.outputs import (
    SEED_LIMIT,
    read_output,
    sampling_arguments,
    sort_failure,
)
from evolve_llm.backends.vllm.reasoning import channels_of
from evolve_llm.nouns.errors import BackendError, RequestError, UserError
from evolve_llm.nouns.picture import Picture
from evolve_llm.nouns.request import Prompt

# ---------------------------------------------------------------- options


def test_the_factory_knows_its_model_and_how_much_it_takes() -> None:
    assert isinstance(vllm("fly"), VllmFly)
    assert vllm("fly").identity == "vllm:fly"
    assert isinstance(vllm("fly-hard"), VllmFly)
    assert vllm("fly-hard").identity == "vllm:fly-hard"
    assert vllm("fly").capacity == 64
    one = vllm("Qwen/Qwen3-4B", max_num_seqs="32", data_parallel_size="4", tensor_parallel_size="2")
    assert (one.identity, one.capacity) == ("vllm:Qwen/Qwen3-4B", 128)
    with pytest.raises(UserError, match="vllm needs a model"):
        vllm()


def test_the_identity_says_what_changes_the_texts_and_nothing_else(tmp_path: Path) -> None:
    fast = vllm(
        "a/b", gpu_memory_utilization="0.9", max_model_len="4096", enforce_eager="true", verbose="true"
    )
    assert fast.identity == vllm("a/b").identity == "vllm:a/b"
    changed = vllm(
        "a/b", dtype="float16", quantization="fp8", chat_template_kwargs='{"enable_thinking": false}'
    )
    assert changed.identity == (
        'vllm:a/b{"chat_template_kwargs": {"enable_thinking": false}, "dtype": "float16", "quantization": "fp8"}'
    )
    (tmp_path / "one" / "model").mkdir(parents=True)
    (tmp_path / "two" / "model").mkdir(parents=True)
    assert (
        vllm(str(tmp_path / "one" / "model")).identity
        == vllm(f"{tmp_path}/two/model/").identity
        == "vllm:model"
    )
    assert (
        vllm("fly", lora=str(tmp_path / "one"), lora_from=3).identity
        == 'vllm:fly{"lora": "one", "lora_from": 3}'
    )


def test_options_that_cannot_be_are_refused_before_anything_starts() -> None:
    with pytest.raises(UserError, match=r"option lora_from .*must|option lora_from .*greater"):
        vllm("fly", lora_from=-1)
    with pytest.raises(UserError, match="name the folder"):
        vllm("fly", lora_from=1)
    with pytest.raises(UserError, match="chat_template_kwargs must be JSON"):
        vllm("fly", chat_template_kwargs="enable_thinking")


@requires_vllm
def test_an_unknown_option_is_named_with_its_nearest_before_vllm_is_imported() -> None:
    with pytest.raises(UserError) as caught:
        vllm("fly", tensor_paralel_size=2, reasoning_pareser="qwen3", model="x")
    said = str(caught.value)
    assert (
        "unknown option of the backend vllm 'tensor_paralel_size'. Did you mean 'tensor_parallel_size'"
        in said
    )
    assert "Did you mean 'reasoning_parser'" in said
    assert "give the model as --model vllm:NAME_OR_PATH" in said
    assert {"tensor_parallel_size", "quantization", "max_num_seqs"} <= vllm_options.argument_names()


def test_the_command_line_does_not_import_vllm() -> None:
    code = (
        "import sys; from evolve_llm.backends.base import make_backend; make_backend('vllm:fly'); "
        "assert 'vllm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fma avx2 sse4_2", False), ("avx512f avx512_bf16", True), ("fp asimd bf16", True)],
)
def test_a_cpu_without_bf16_instructions_gets_float32(flags: str, expected: bool) -> None:
    text = f"processor : 0\nflags : {flags}\n"
    assert vllm_options.has_bf16(text) is expected
    assert vllm_options.defaults("m", cpu=True, cpuinfo=text).get("dtype") == (
        None if expected else "float32"
    )
    assert not {"dtype", "gpu_memory_utilization"} & set(vllm_options.defaults("m", cpu=False))


def test_the_environment_of_the_user_goes_before_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*vllm_options.ENVIRONMENT, "VLLM_CONFIGURE_LOGGING", "TRANSFORMERS_VERBOSITY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "40")
    vllm_options.set_environment(verbose=False)
    assert os.environ["VLLM_CPU_KVCACHE_SPACE"] == "40"
    assert os.environ["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"


def test_without_vllm_the_start_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == "vllm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "vllm", None)
    monkeypatch.setattr(vllm_options.os, "environ", dict(os.environ))
    with pytest.raises(UserError, match=r'pip install "evolve-llm\[vllm\]"'):
        run(vllm("fly").start())


def test_what_is_loading_writes_to_the_file_and_python_where_it_wrote(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+b") as log:
        with _output_to(log.fileno()):
            os.write(2, b"noise of a library\n")
            os.system("echo noise of a process")
        log.seek(0)
        assert log.read() == b"noise of a library\nnoise of a process\n"


PROGRAM = """
import multiprocessing, time
from evolve_llm.backends.vllm.child import children_end_with_us, end_with_parent

def child():
    end_with_parent()
    time.sleep(600)

if __name__ == "__main__":
    end_with_parent()  # does nothing here
    with children_end_with_us():
        one = multiprocessing.get_context("spawn").Process(target=child)
        one.start()
    print(one.pid, flush=True)
    time.sleep(600)
"""


def test_an_engines_process_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, tmp_path / "program.py"], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        child = int(program.stdout.readline())
        assert program.poll() is None
        program.kill()
    until = time.monotonic() + 60
    while time.monotonic() < until and _lives(child):
        time.sleep(0.1)
    assert not _lives(child)


# ---------------------------------------------------------------- requests and answers


@given(st.integers(0, 2**63 - 1))
def test_a_seed_is_one_that_vllm_takes_and_keeps(seed: int) -> None:
    assert sampling_arguments(ask(seed=seed))["seed"] == seed < SEED_LIMIT
    assert "seed" not in sampling_arguments(ask(seed=seed), seeded=False)


def test_every_sampler_is_named_and_neutral_unless_it_was_set() -> None:
    plain = sampling_arguments(ask(seed=7, max_tokens=5))
    assert (plain["top_k"], plain["min_p"], plain["repetition_penalty"], plain["presence_penalty"]) == (
        0,
        0.0,
        1.0,
        0.0,
    )
    assert "logprobs" not in plain
    assert "stop" not in plain
    full = sampling_arguments(ask(temperature=0.7, top_p=0.9, top_k=5, min_p=0.1, stop=("x",)))
    assert (full["temperature"], full["top_p"], full["top_k"], full["min_p"], full["stop"]) == (
        0.7,
        0.9,
        5,
        0.1,
        ["x"],
    )


def output(finish: str = "stop", **changes: Any) -> Any:
    one = {"text": "ab", "token_ids": [5, 6], "logprobs": None, "finish_reason": finish, **changes}
    return SimpleNamespace(outputs=[SimpleNamespace(**one)], prompt_token_ids=[1, 2, 3], num_cached_tokens=2)


def test_an_output_is_read_with_its_counts() -> None:
    got = read_output(output("length"))
    assert (got.text, got.finish_reason) == ("ab", "length")
    assert (got.prompt_tokens, got.completion_tokens, got.cached_tokens) == (3, 2, 2)
    for reason in ("abort", "error", None):
        with pytest.raises(RequestError, match="server_error"):
            read_output(output(reason))  # type: ignore[arg-type]


def entry(value: float, text: str) -> Any:
    return SimpleNamespace(logprob=value, rank=None, decoded_token=text)


def test_the_drawn_tokens_own_log_probability_is_taken_and_the_firsts_alternatives_sorted() -> None:
    first = {number: entry(-1.0 - number, str(number)) for number in range(11)} | {50: entry(-90.0, "drawn")}
    got = read_output(output(token_ids=[50, 6], logprobs=[first, {6: entry(-0.5, "b"), 7: entry(-0.1, "c")}]))
    assert got.logprobs == (-90.0, -0.5)
    assert [token for token, _ in got.first_token] == [str(number) for number in range(10)]
    with pytest.raises(RequestError, match="malformed"):
        read_output(output(token_ids=[1], logprobs=[{1: entry(float("nan"), "x")}]))


class EngineDeadError(Exception):
    pass


class VLLMClientError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "dead", "kind", "match"),
    [
        (EngineDeadError(), False, BackendError, "same command resumes the run"),
        (RuntimeError("x"), True, BackendError, "died"),
        (VLLMClientError("The prompt is longer than max_model_len"), False, RequestError, "context_overflow"),
        (
            ValueError("temperature must be non-negative"),
            False,
            RequestError,
            "bad_request: ValueError: temp",
        ),
        (RuntimeError("CUDA hiccup"), False, RequestError, "server_error"),
    ],
)
def test_failures_are_sorted(error: Exception, dead: bool, kind: type[Exception], match: str) -> None:
    found = sort_failure(error, dead=dead)
    assert isinstance(found, kind)
    assert match in str(found)


LOG = """\
INFO 11-21 23:26:42 [core.py:12] hello
(EngineCore pid=7) ERROR 11-21 23:26:42 [core.py:99] Traceback (most recent call last):
(EngineCore pid=7) ERROR 11-21 23:26:42 [core.py:99] ValueError: No available memory for the cache blocks. Try it
RuntimeError: Engine core initialization failed. See root cause above.
"""


@pytest.mark.parametrize(
    ("own", "log", "match"),
    [
        ("Engine core initialization failed. See above", LOG, "No available memory.*gpu_memory_util.*max_model_len"),
        ("torch.OutOfMemoryError: CUDA out of memory", "", "gpu_memory_utilization"),
        ("no/such is not a local folder and is not a valid model identifier", "", "cannot find.*'m'.*hub"),
        ("something else", "", "cannot start with 'm': RuntimeError: something else.*engine.verbose"),
    ],
)  # fmt: skip
def test_a_failed_start_names_its_cause_and_what_to_change(own: str, log: str, match: str) -> None:
    assert re.search(match, str(explained(RuntimeError(own), log, "m")), re.DOTALL)


# ---------------------------------------------------------------- the shipped weights, folders, adapters


def test_the_flys_files_are_verified(tmp_path: Path) -> None:
    assert shipped_folder() == FOLDER
    copied = tmp_path / "fly"
    shutil.copytree(FOLDER, copied)
    with (copied / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    with pytest.raises(BackendError, match=r"model\.safetensors are damaged"):
        shipped_folder(copied)
    (copied / "config.json").unlink()
    with pytest.raises(BackendError, match="missing or cannot be read"):
        shipped_folder(copied)


def test_two_folders_of_one_name_have_two_fingerprints(tmp_path: Path) -> None:
    prints = set()
    for name, last in (("a", 1.0), ("b", 2.0)):
        folder = tmp_path / name / "model"
        folder.mkdir(parents=True)
        write_safetensors(folder / "model.safetensors", {"w": ((2,), [0.0, last])})
        prints.add(vllm_options.folder_fingerprint(folder))
    assert len(prints) == 2


def test_a_model_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no model .*nothing"):
        run(Vllm(str(tmp_path / "nothing")).start())


def test_a_template_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"chat_template=.*cannot be read"):
        run(vllm("fly", chat_template="/no/such/file").start())


def test_an_adapter_that_fits_is_read(tmp_path: Path) -> None:
    found = read_adapter(write_adapter(tmp_path / "fits", rank=12), FOLDER)
    assert (found.rank, found.max_lora_rank) == (12, 16)
    other = read_adapter(write_adapter(tmp_path / "other", rank=12, strength=0.5), FOLDER)
    assert found.fingerprint != other.fingerprint
    assert read_adapter(tmp_path / "fits", None).rank == 12


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "shape": ({"size": 64}, r"q_proj is 128 x 128 in the model, 64 x 64 in the adapter"),
    "module": (
        {"modules": ("c_attn",)},
        "changes model.layers.0.self_attn.c_attn, and the model has no such",
    ),
    "rank": ({"r": 2}, "has the rank 4 and 4, adapter_config.json says r=2"),
    "large": ({"r": 9000}, "rank r=9000; vLLM takes 1 to 512"),
    "dora": ({"use_dora": True}, "DoRA"),
    "whole": ({"modules_to_save": ["lm_head"]}, "replaces whole modules"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_adapter_that_cannot_work_is_refused_before_the_engine_starts(tmp_path: Path, case: str) -> None:
    changes, match = BROKEN[case]
    folder = write_adapter(tmp_path / "adapter", **changes)
    with pytest.raises(UserError, match=match):
        run(vllm("fly", lora=str(folder)).start())


def test_a_folder_that_is_no_adapter_says_what_it_lacks(tmp_path: Path) -> None:
    for lacking in ("adapter_config.json", "adapter_model.safetensors"):
        folder = write_adapter(tmp_path / lacking)
        (folder / lacking).unlink()
        with pytest.raises(UserError, match=f"has no {lacking}"):
            read_adapter(folder, None)
    with pytest.raises(UserError, match="there is no such folder"):
        read_adapter(tmp_path / "nowhere", None)
    cut = write_adapter(tmp_path / "cut") / "adapter_model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-9])
    with pytest.raises(UserError, match="is incomplete"):
        read_adapter(cut.parent, None)
    cut.write_bytes(b"no weights at all")
    with pytest.raises(UserError, match="is not a safetensors file"):
        read_adapter(cut.parent, None)
    (cut.parent / "adapter_config.json").write_text("[]")
    with pytest.raises(UserError, match="does not hold a JSON object"):
        read_adapter(cut.parent, None)


def test_the_shapes_of_the_model_are_read_from_its_files() -> None:
    assert base_shapes(FOLDER)["model.layers.0.self_attn.q_proj.weight"] == (128, 128)


# ---------------------------------------------------------------- thinking

SPECIAL = ["<|channel|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>", "<|start|>"]


class WordTokenizer:
    """Each word a token, as gpt-oss's special tokens are."""

    def __init__(self, special: list[str] = SPECIAL) -> None:
        self.words = [*special, "analysis", "final", "assistant", "hm", "so", "42"]

    def get_vocab(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def decode(self, ids: list[int]) -> str:
        return " ".join(self.words[one] for one in ids)

    def ids(self, text: str) -> list[int]:
        return [self.words.index(word) for word in text.split()]


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("<|channel|> analysis <|message|> hm so <|end|> <|start|> assistant <|channel|> final <|message|> 42",
         "hm so", "42"),
        ("<|channel|> analysis <|message|> hm so", "hm so", ""),
        ("<|channel|> final <|message|> 42", "", "42"),
        ("<|channel|> analysis <|message|> hm <|end|> <|channel|> analysis <|message|> so <|end|>", "hm\nso", ""),
        ("42", "", "42"),
        ("", "", ""),
    ],
)  # fmt: skip
def test_the_channels_of_gpt_oss_are_told_apart_by_their_tokens(
    text: str, thinking: str, answer: str
) -> None:
    tokenizer = WordTokenizer()
    assert channels_of(tokenizer)("", tokenizer.ids(text)) == (thinking, answer)


@given(st.lists(st.integers(0, 11)))
def test_any_tokens_at_all_are_read_and_no_word_is_invented(ids: list[int]) -> None:
    thinking, answer = channels_of(WordTokenizer())("", ids)
    assert len((thinking + " " + answer).split()) <= len([one for one in ids if one >= len(SPECIAL)])


def test_another_models_tokenizer_is_refused_for_gpt_oss() -> None:
    with pytest.raises(UserError, match="is for gpt-oss"):
        channels_of(WordTokenizer(SPECIAL[:2]))


def test_options_come_from_text_too() -> None:
    options = VllmOptions.model_validate({"chat_template_kwargs": json.dumps({"reasoning_effort": "high"})})
    assert options.chat_template_kwargs == {"reasoning_effort": "high"}


def test_every_option_of_ours_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "vllm.md").read_text("utf-8")
    for name, field in VllmOptions.model_fields.items():
        assert f"| `{name}` |" in page
        assert field.description


# ---------------------------------------------------------------- pictures


@requires_vllm
def test_pictures_go_to_the_engine_as_its_own_inputs() -> None:
    from PIL import Image

    before = random.getstate()
    from vllm.config import ModelConfig
    from vllm.inputs import TokensPrompt

    random.setstate(before)  # importing vLLM draws
    file = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(file, "PNG")
    asked = inputs([1, 2, 3], [Picture.of(file.getvalue(), "image/png", 8, 6)])
    assert set(asked) <= set(TokensPrompt.__required_keys__ | TokensPrompt.__optional_keys__)
    (shown,) = asked["multi_modal_data"]["image"]
    assert (asked["prompt_token_ids"], shown.size, shown.mode) == ([1, 2, 3], (8, 6), "RGB")
    assert inputs([1], []) == {"type": "token", "prompt_token_ids": [1]}
    assert isinstance(ModelConfig.is_multimodal_model, property)


def test_a_template_is_told_where_pictures_stand() -> None:
    class Tokenizer:
        chat_template = "x"

        def apply_chat_template(self, messages: list[dict[str, Any]], **_: Any) -> list[int]:
            return [99 if part["type"] == "image" else 1 for part in messages[0]["content"]]

    prompt = Prompt.user("Which?").showing((Picture("data:image/png;base64,", 8, 6),))
    assert Chat(Tokenizer(), "m", None, {}).tokens(prompt) == [99, 1]
    assert vllm("a/b").pictures is False, "nothing is known before it has started"
