"""The studies for a GPU run, small, wherever vLLM runs: what is prepared for a machine with one is no guess."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "throughput"
sys.path.insert(0, str(FOLDER))

from large import FOUR_BILLION, SMALL, write_adapter, write_model  # noqa: E402

sys.path.remove(str(FOLDER))


def test_unknown_studies_are_named() -> None:
    said = subprocess.run(
        [sys.executable, str(FOLDER / "on_a_gpu.py"), "--only", "saturation,colour"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert said.returncode == 2
    assert "unknown studies: colour" in said.stderr


def test_the_model_has_a_token_a_character_and_ends_of_text(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    write_model(tmp_path / "model", SMALL, 16)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    text = "why? 42\n"
    assert len(tokenizer(text)["input_ids"]) == len(text)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    ends = json.loads((tmp_path / "model" / "generation_config.json").read_text())["eos_token_id"]
    assert len(ends) == SMALL.vocabulary // 16
    config = transformers.AutoConfig.from_pretrained(tmp_path / "model")
    assert (config.hidden_size, config.num_hidden_layers) == (SMALL.hidden, SMALL.layers)
    weights = FOUR_BILLION.layers * (
        2 * FOUR_BILLION.hidden * FOUR_BILLION.heads * FOUR_BILLION.head
        + 2 * FOUR_BILLION.hidden * FOUR_BILLION.key_value_heads * FOUR_BILLION.head
        + 3 * FOUR_BILLION.hidden * FOUR_BILLION.intermediate
    )
    assert 3.5e9 < weights + FOUR_BILLION.vocabulary * FOUR_BILLION.hidden < 4.5e9


def test_the_adapter_is_one_of_every_layer(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors")
    pytest.importorskip("torch")
    write_adapter(tmp_path, SMALL)
    with safetensors.safe_open(tmp_path / "adapter_model.safetensors", "pt") as found:
        assert len(found.keys()) == 2 * SMALL.layers


@pytest.mark.slow
@pytest.mark.model
def test_the_studies_run_small(tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    out = tmp_path / "found.json"
    only = "starts,saturation,seeds,orders,schedules"
    command = [sys.executable, str(FOLDER / "on_a_gpu.py"), "--small", "--only", only, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(out.read_text())
    assert found["left_out"] == []
    assert set(found["studies"]) == set(only.split(","))
    assert not [one for one in found["studies"].values() if "failed" in one]
    row = found["studies"]["saturation"]["2"]
    assert row["requests"] == 2 * 4 * 2
    assert row["bound"] > 0
    assert found["studies"]["seeds"]["unseeded_over_seeded"] > 0
    assert len(found["studies"]["orders"]) >= 5
    assert len({one["completion_tokens"] for one in found["studies"]["orders"].values()}) <= 2
    assert set(found["studies"]["schedules"]) == {"1", "2"}
