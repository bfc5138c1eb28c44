"""The pieces of a training that need no weights: settings, order, rewards, metrics, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from train_helpers import sums

from evolve_llm import Run
from evolve_llm.backends.fly import SHIPPED
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.scheme import registry
from evolve_llm.train import checkpoints
from evolve_llm.train.dataset import Recipe, training_set
from evolve_llm.train.formats import write
from evolve_llm.train.groups import Drawing
from evolve_llm.train.measuring import Metrics, Reply, by_kind
from evolve_llm.train.models import base_of, check_adapter, check_lengths, prompt_lengths, tokenizer_of
from evolve_llm.train.ordering import in_turn
from evolve_llm.train.rewards import Rewards, value
from evolve_llm.train.rows import Row
from evolve_llm.train.settings import recipes, train_settings
from evolve_llm.train.verl import write_verl
from evolve_llm.train.verl_reward import compute_score, filled


def test_every_step_is_half_and_half_and_every_row_comes_before_any_comes_again() -> None:
    kinds = ["standard", "aggregation"] * 6 + ["standard"] * 4
    order = in_turn(kinds, 8, 9, seed=3)
    assert len(order) == 72
    for start in range(0, 72, 8):
        assert [kinds[place] for place in order[start : start + 8]].count("standard") == 4
    standard = [place for place in order if kinds[place] == "standard"]
    assert sorted(standard[:10]) == sorted(place for place, kind in enumerate(kinds) if kind == "standard")
    assert standard[:10] != standard[10:20]
    assert order == in_turn(kinds, 8, 9, seed=3) != in_turn(kinds, 8, 9, seed=4)
    alone = in_turn(kinds, 3, 5, 0, ("aggregation",))
    assert len(alone) == 15
    assert {kinds[place] for place in alone} == {"aggregation"}
    with pytest.raises(UserError, match="has no aggregation rows"):
        in_turn(["standard"] * 4, 2, 1, 0)


def test_recipes_and_settings() -> None:
    paper = train_settings("rsa-rl")
    assert (paper.prompts, paper.rollouts, paper.learning_rate, paper.steps) == (256, 4, 1e-6, 300)
    assert (paper.beta, paper.max_tokens, paper.max_prompt_tokens) == (0.0, 8192, 33792)
    assert train_settings(None, {"kinds": "standard", "prompts": 7}).prompts == 7
    assert set(recipes()) == {"fly", "rsa-rl"}
    assert train_settings("fly", {"beta": "0.2", "lora": "8"}).beta == 0.2
    for changes, said in (
        ({"prompts": 7}, "prompts must be even"),
        ({"kinds": "none"}, "the setting kinds"),
        ({"replies_at_once": 7}, "replies_at_once must divide the 256 replies"),
        ({"betta": 1}, "no setting 'betta' of a training. Did you mean 'beta'?"),
        ({"beta": -1}, "the setting beta: Input should be greater than or equal to 0, got -1"),
        ({"lora_alpha": 4}, "write lora=RANK too"),
        ({"reward": "length"}, "the setting reward"),
    ):
        with pytest.raises(UserError) as raised:
            train_settings(None, changes)
        assert said in str(raised.value), raised.value
    with pytest.raises(UserError, match="unknown recipe 'rsa'"):
        train_settings("rsa")


def test_a_recipe_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('description = "mine"\nprompts = 4\n')
    assert train_settings(str(tmp_path / "mine.toml")).prompts == 4
    with pytest.raises(UserError, match="cannot be read"):
        train_settings(str(tmp_path / "other.toml"))


def test_an_ungraded_reply_has_no_reward() -> None:
    assert value(Verdict(Grade.UNGRADED, "deadline"), "correct") is None
    assert value(Verdict(Grade.INCORRECT, "keys", 0.5), "correct") == 0.0
    assert value(Verdict(Grade.INCORRECT, "keys", 0.5), "score") == 0.5
    assert value(Verdict(Grade.CORRECT, "exact-text"), "score") == 1.0


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The graders that misbehave, installed as another distribution would be."""
    info = tmp_path / "installed" / "hostile_graders-0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile_graders\nVersion: 0.0\n")
    (info / "entry_points.txt").write_text("[evolve_llm.graders]\nmisbehaves = hostile_graders:misbehaves\n")
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "grading" / "plugins"))
    for cached in (registry.available, registry.load):
        cached.cache_clear()
    yield
    sys.modules.pop("hostile_graders", None)
    for cached in (registry.available, registry.load):
        cached.cache_clear()


@pytest.mark.usefixtures("hostile")
def test_a_reward_that_hangs_or_dies_is_none_and_the_others_come() -> None:
    from evolve_llm.nouns.request import Prompt

    problem = sums(1, grader="misbehaves", reference="right")[0]
    row = Row("standard", problem, Prompt.user("?")).plain()
    texts = [f"\\boxed{{{said}}}" for said in ("spin", "right", "wrong", "abort")]
    with Rewards(deadline=1.0, workers=2) as rewards:
        rewards.require([problem])
        verdicts = rewards.verdicts([row] * 4, texts)
        assert rewards.values(verdicts) == [None, 1.0, 0.0, None]
        assert [one.rule for one in verdicts] == ["deadline", "compared", "compared", "worker-crashed"]
    rewards.close()


def test_thinking_is_no_answer() -> None:
    from evolve_llm.nouns.request import Prompt

    problem = sums(1)[0]
    row = Row("standard", problem, Prompt.user("?")).plain()
    texts = ["<think>\\boxed{number1}", "<think>hm</think>\\boxed{number1}", "\\boxed{number2}", ""]
    with Rewards() as rewards:
        assert rewards.values(rewards.verdicts([row] * 4, texts)) == [0.0, 1.0, 0.0, 0.0]


def test_metrics_are_told_by_kind() -> None:
    replies = [
        Reply("standard", one, 4, False, group)
        for one, group in zip((1.0, 1.0, None, 0.0), "aabb", strict=True)
    ]
    replies += [Reply("aggregation", one, 8, one is None, "c") for one in (1.0, None, None, None)]
    found = by_kind(replies)
    assert found["reward/standard"] == 2 / 3
    assert found["zero_variance/standard"] == 1.0
    assert found["zero_variance/aggregation"] == 1.0
    assert by_kind([Reply("standard", one, 4, False) for one in (1.0, 0.0)])["zero_variance/standard"] == 0.0
    assert (found["ungraded/standard"], found["truncated/aggregation"]) == (0.25, 0.75)
    assert found["tokens/aggregation"] == 8.0


def test_the_file_of_metrics_holds_each_step_once(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.begin(0)
    for step in (1, 2, 3):
        metrics.add({"step": step, "reward": float("nan") if step == 2 else 0.5})
    with metrics.path.open("a") as file:
        file.write('{"step": 4, "rew')
    metrics.begin(2)
    assert metrics.read() == [{"step": 1, "reward": 0.5}, {"step": 2, "reward": None}]


def test_a_checkpoint_that_was_cut_is_passed_over(tmp_path: Path) -> None:
    for step in (2, 4, 10):
        (tmp_path / checkpoints.FOLDER / f"checkpoint-{step}").mkdir(parents=True)
    assert checkpoints.latest(tmp_path / "none") == (None, 0)
    for step in (2, 4):
        (tmp_path / checkpoints.FOLDER / f"checkpoint-{step}" / checkpoints.MARK).touch()
    assert checkpoints.latest(tmp_path)[1] == 4
    assert not (tmp_path / checkpoints.FOLDER / "checkpoint-10").exists()


def test_a_folder_belongs_to_one_training(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert not checkpoints.open_training(out, {"model": "fly", "settings": {"beta": 0.1}})
    assert not checkpoints.open_training(out, {"model": "fly", "settings": {"beta": 0.1}})
    with pytest.raises(UserError, match=r"settings.beta: the run has 0.1, now it is 0.2"):
        checkpoints.open_training(out, {"model": "fly", "settings": {"beta": 0.2}})
    checkpoints.describe(out, {"model": "fly"}, done=True)
    assert checkpoints.open_training(out, {"model": "fly"})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(UserError, match="is not a training, and it is not empty"):
        checkpoints.open_training(tmp_path / "mine", {})


def test_models_that_cannot_be_trained(tmp_path: Path) -> None:
    for name in ("llama_cpp:x.gguf", "x.gguf", "openai:gpt", "scripted", ""):
        with pytest.raises(UserError, match="cannot be trained"):
            base_of(name)
    with pytest.raises(UserError, match="there is no folder"):
        base_of(str(tmp_path / "none"))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="is an adapter, not a model; give --model its base, and --adapter"):
        base_of(str(tmp_path))
    assert base_of("vllm:fly") == base_of("fly")
    assert (base_of("fly-hard").given, base_of("fly-hard").folder) == ("fly-hard", SHIPPED["fly-hard"])
    assert base_of("Qwen/Qwen3-4B").folder is None


def test_a_model_without_a_chat_template(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder = base_of("fly").folder
    assert folder is not None
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(folder / name, tmp_path)
    with pytest.raises(UserError, match="has no chat template"):
        tokenizer_of(base_of(str(tmp_path)))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"the tokenizer of .* cannot be loaded"):
        tokenizer_of(base_of(str(tmp_path)))


def test_prompts_that_do_not_fit_or_were_counted_by_another_tokenizer(words: Run) -> None:
    pytest.importorskip("transformers")
    rows = [row.plain() for row in training_set(words.path, Recipe(Drawing((0,), (3,)))).train]
    check_lengths([10, 20], rows[:2], 30, 50, None)
    check_lengths([10, 2000], rows[:2], 30, None, None)
    for window, longest in ((49, None), (None, 19)):
        with pytest.raises(
            UserError, match=r"1 of 2 prompts are too long, such as that of problem 'sum/\d+' with 20"
        ):
            check_lengths([10, 20], rows[:2], 30, window, longest)
    asked = {"prompt": [{"role": "user", "content": "<a5037;>"}], "kind": "standard", "problem": "p"}
    tokenizer = tokenizer_of(base_of("fly"))
    assert prompt_lengths(tokenizer, [{**asked, "prompt_tokens": None}, {**asked, "prompt_tokens": 8}]) == [
        8,
        8,
    ]
    with pytest.raises(UserError, match="has 8 tokens for this model, and had 9 for the run's model"):
        prompt_lengths(tokenizer, [{**asked, "prompt_tokens": 9}])


def test_an_adapter_of_another_base(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    def adapter(name: str, base: str, width: int) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        config = {"r": 8, "peft_type": "LORA", "base_model_name_or_path": base}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        part = "base_model.model.model.layers.0.self_attn.q_proj"
        save_file(
            {f"{part}.lora_A.weight": torch.zeros(8, width), f"{part}.lora_B.weight": torch.zeros(width, 8)},
            folder / "adapter_model.safetensors",
        )
        return folder

    check_adapter(adapter("good", "fly", 128), base_of("fly"))
    with pytest.raises(UserError, match="128 x 128 in the model, 256 x 256 in the adapter"):
        check_adapter(adapter("wide", "fly", 256), base_of("fly"))
    with pytest.raises(
        UserError, match="was trained for 'Qwen/Qwen3-4B', not for 'fly'; give --model Qwen/Qwen3-4B"
    ):
        check_adapter(adapter("other", "Qwen/Qwen3-4B", 128), base_of("fly"))
    with pytest.raises(UserError, match="there is no such folder"):
        check_adapter(tmp_path / "none", base_of("fly"))


def test_the_command_for_a_cluster(words: Run, tmp_path: Path) -> None:
    data = tmp_path / "set"
    write(training_set(words.path, Recipe(Drawing((0,), (3,)))), data)
    text = write_verl(data, "Qwen/Qwen3-4B-Instruct-2507", tmp_path / "out", train_settings("rsa-rl"))
    assert (tmp_path / "out" / "train.sh").read_text() == text
    for part in (
        "algorithm.adv_estimator=rloo", "data.train_batch_size=256", "data.max_prompt_length=33792",
        "data.max_response_length=8192", "actor_rollout_ref.rollout.n=4", "algorithm.use_kl_in_reward=False",
        "actor_rollout_ref.actor.optim.lr=1e-06", "trainer.total_training_steps=300", "data.shuffle=False",
        "actor_rollout_ref.model.path=Qwen/Qwen3-4B-Instruct-2507", f"{data}/verl/train.parquet",
    ):  # fmt: skip
        assert part in text, part
    assert "load_format" not in text
    changed = write_verl(data, "m", tmp_path / "out", train_settings("rsa-rl", {"beta": 0.1, "lora": 16}))
    assert "algorithm.use_kl_in_reward=True" in changed
    assert "actor_rollout_ref.model.lora_rank=16" in changed
    assert "actor_rollout_ref.rollout.load_format=safetensors" in changed
    scope: dict[str, object] = {}
    exec((tmp_path / "out" / "reward.py").read_text(), scope)
    assert scope["compute_score"] is compute_score
    with pytest.raises(UserError, match="is not empty"):
        write_verl(data, "m", data, train_settings("rsa-rl"))
    write(training_set(words.path, Recipe(Drawing((0,), (3,)))), tmp_path / "plain", ["jsonl"])
    with pytest.raises(UserError, match=r"has no verl/train.parquet"):
        write_verl(tmp_path / "plain", "m", tmp_path / "new", train_settings("rsa-rl"))


@pytest.mark.parametrize(("found", "refused"), [("0.6.1", False), ("0.7.0", True)])
def test_the_command_for_verl_ends_at_once_with_a_verl_it_is_not_for(
    words: Run, tmp_path: Path, found: str, refused: bool
) -> None:
    data = tmp_path / "set"
    write(training_set(words.path, Recipe(Drawing((0,), (2,), "none"), test_share=0.0)), data)
    write_verl(data, "m", tmp_path / "out", train_settings("rsa-rl"))
    verl = tmp_path / "site" / "verl"
    (verl / "trainer").mkdir(parents=True)
    (verl / "trainer" / "main_ppo.py").write_text("import sys; print(len(sys.argv), 'options')")
    about = tmp_path / "site" / f"verl-{found}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: verl\nVersion: {found}\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(tmp_path / "site")}
    ended = subprocess.run(
        ["sh", str(tmp_path / "out" / "train.sh")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode != 0) is refused
    assert ("this is verl 0.7.0" in ended.stderr) is refused
    assert ("options" in ended.stdout) is not refused


def test_the_reward_function_for_verl(words: Run, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write(training_set(words.path, Recipe(Drawing((0,), (3,)))), tmp_path / "set")
    rows = parquet.read_table(tmp_path / "set" / "verl" / "train.parquet").to_pylist()[:2]
    texts = [f"\\boxed{{{row['reward_model']['ground_truth']}}}" for row in rows]
    found = compute_score(
        data_sources=[row["data_source"] for row in rows] * 2,
        solution_strs=[*texts, "\\boxed{no}", "nothing"],
        ground_truths=[row["reward_model"]["ground_truth"] for row in rows] * 2,
        extra_infos=[row["extra_info"] for row in rows] * 2,
    )
    assert found == [1.0, 1.0, 0.0, 0.0]
    here, there = ("train", 0), ("train", 1)
    assert filled([1.0, None, 0.0, None], [here, here, here, there]) == [1.0, 0.5, 0.0, 0.0]
    strange = [{**rows[0]["extra_info"], "grader": "nobody"}]
    with pytest.raises(SystemExit, match=r"evolve-llm cannot grade: .*nobody"):
        compute_score(["x"], ["y"], ["z"], strange)
