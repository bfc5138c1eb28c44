"""Train a fly from nothing: ``python experiments/fruit_fly/train.py --seed 0 --out FOLDER``.

Stage 1 shows standard prompts with correct chains; its result is ``base``. Stage 2 goes on from it with
aggregation prompts, whose candidates are first made up, then mostly the model's own, drawn anew from short RSA
runs on training problems; its result is ``fly``. Every target is the correct key. Some slots of a target hold
another guess instead, on which nothing is learnt but how its check goes on.

Batch i of a stage is a function of the seed and i, and the folder's ``state.pt`` is renewed as it goes: a run
that was interrupted goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import bundles as b
import curves
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from bundles import SLOT, Array, Generator
from model import Fly, Shape, sample
from optimizer import Optimizer
from rsa import first_generation, next_generation


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that decides a run beside its seed."""

    width: int = 128
    layers: int = 4
    heads: int = 4
    stage1_steps: int = 300
    stage2_steps: int = 1200
    stage3_steps: int = 800
    tokens_per_step: int = 2500
    rates: tuple[float, float] = (0.02, 3e-3)
    stage2_rate: float = 0.5
    stage3_rate: float = 0.4
    plain_share: float = 0.4
    plain_laziness: float = 0.1
    shapes_per_step: int = 2
    sizes: tuple[float, ...] = (0.2, 0.25, 0.25, 0.3)
    parents: tuple[float, ...] = (0.12, 0.2, 0.18, 0.12, 0.14, 0.06, 0.06, 0.04, 0.08)
    own_share: float = 0.5
    refreshes: tuple[float, ...] = (0.4, 0.6, 0.8)
    guess_weights: tuple[float, float, float] = (1.0, 3.0, 2.0)
    laziness: float = b.LAZINESS

    def shape(self) -> Shape:
        return Shape(
            hidden_size=self.width,
            intermediate_size=round(self.width * 8 / 3 / 32) * 32,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
        )


Pools = dict[int, tuple[Array, Array]]
"""For each bundle size: bundles [count, n, 4] and generations of chains [generation, count, N, 6n]."""


def made_up(rng: Generator, problems: Array, k: int, unsolved: float = 0.35, power: float = 1.5) -> Array:
    """Candidates as a population of any generation may hold them: in each lock a share of right keys, from none
    to all, and wrong guesses as the prior would make them. [count, k, 6n]"""
    count, n, _ = problems.shape
    keys = b.true_keys(problems)
    share = np.where(rng.random((count, n)) < unsolved, 0.0, rng.random((count, n)) ** power)
    right = rng.random((count, k, n)) < share[:, None]
    first = np.where(rng.random((count, k, n)) < rng.random((count, 1, n)), problems[:, None, :, 0], -1)
    wrong = np.where((first >= 0) & (first != keys[:, None]), first, rng.integers(0, 10, (count, k, n)))
    tried = np.where(right, keys[:, None], wrong)
    flat = b.chain_tokens(np.repeat(problems, k, 0), tried.reshape(count * k, n))
    return flat.reshape(count, k, -1)


def own(rng: Generator, pools: Pools, n: int, k: int, count: int) -> tuple[Array, Array]:
    """Bundles and k of the model's own chains for each."""
    problems, chains = pools[n]
    which = rng.integers(len(problems), size=count)
    generation = rng.integers(len(chains), size=count)
    members = np.argsort(rng.random((count, chains.shape[2])), -1)[:, :k]
    return problems[which], chains[generation[:, None], which[:, None], members]


def target(rng: Generator, problems: Array, right_share: float, weight: float) -> tuple[Array, Array]:
    """Chains to learn, end mark included, and the weight of each of their tokens."""
    count, n, _ = problems.shape
    keys = b.true_keys(problems)
    tried = np.where(rng.random((count, n)) < right_share, keys, rng.integers(0, 10, (count, n)))
    chains = b.chain_tokens(problems, tried)
    weights = np.ones((count, n, SLOT))
    weights[..., 1] = (tried == keys) * weight
    end = np.full((count, 1), b.ID[b.EOS])
    return np.concatenate([chains, end], 1), np.concatenate(
        [weights.reshape(count, -1), np.ones((count, 1))], 1
    )


def batch(
    recipe: Recipe, seed: int, stage: int, step: int, part: int, pools: Pools
) -> tuple[Array, Array, Array, int]:
    """Prompts, targets, weights and K of one part of a step: one shape, since nothing is padded."""
    rng = np.random.default_rng([seed, stage, step, part])
    n = 1 + int(rng.choice(len(recipe.sizes), p=recipe.sizes))
    k = int(rng.choice(len(recipe.parents), p=recipe.parents)) if stage > 1 else 0
    plain = stage == 2 and step < recipe.plain_share * recipe.stage2_steps
    if plain and k > 2 and step < 0.4 * recipe.plain_share * recipe.stage2_steps:
        k = 1 + k % 2
    count = recipe.tokens_per_step // recipe.shapes_per_step // (2 + (SLOT * n + 1) * (k + 2))
    if k and pools and rng.random() < recipe.own_share:
        problems, candidates = own(rng, pools, n, k, count)
    else:
        problems = b.draw(
            rng, count, n, "train", recipe.plain_laziness if k and stage == 2 else recipe.laziness
        )
        candidates = (
            (made_up(rng, problems, k, 0.2, 0.7) if plain else made_up(rng, problems, k)) if k else None
        )
    weight = recipe.guess_weights[0 if not k else 1 if plain else 2]
    chains, weights = target(rng, problems, 0.8 if k else 0.6, weight)
    return b.prompt_tokens(problems, candidates if k else None), chains, weights, k


def refresh(fly: Fly, recipe: Recipe, seed: int, step: int) -> Pools:
    """Short RSA runs of the model as it is, on training problems."""
    rng = np.random.default_rng([seed, 3, step])
    torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
    pools: Pools = {}
    for n in range(1, len(recipe.sizes) + 1):
        problems = b.draw(rng, 40, n, "train", recipe.laziness)
        generations = [first_generation(fly, problems, 12, torch_rng)]
        for _ in range(2):
            k = int(rng.integers(1, 5))
            generations.append(next_generation(fly, problems, generations[-1], k, rng, torch_rng))
        pools[n] = problems, np.stack(generations)[..., : SLOT * n]
    return pools


def probe(fly: Fly, seed: int, laziness: float, count: int = 32) -> dict[str, Any]:
    """Held-out figures by "n,K" on made-up candidates: [text errors, locks opened where a candidate has opened
    it, locks opened where none has]; "n,0" is the standard prompt, its last figure the locks opened."""
    rng = np.random.default_rng([seed, 4])
    torch_rng = torch.Generator().manual_seed(seed)
    out = {}
    for n in range(1, 5):
        for k in (0, 1, 2, 4, 8):
            problems = b.draw(rng, count, n, "held_out", laziness)
            candidates = made_up(rng, problems, k) if k else None
            marks = b.mark(
                problems, sample(fly, b.prompt_tokens(problems, candidates), SLOT * n + 1, torch_rng)
            )
            known = np.zeros((count, n), bool)
            if candidates is not None:
                flat = candidates.reshape(count * k, n, SLOT)
                known = np.isin(flat[..., 5], b.OPEN_IDS).reshape(count, k, n).any(1)
            shares = [float(marks.opened[part].mean()) if part.any() else -1.0 for part in (known, ~known)]
            out[f"{n},{k}"] = [round(float(1 - marks.faultless.mean()), 3), *(round(x, 3) for x in shares)]
    return out


def short_rsa(fly: Fly, seed: int, laziness: float) -> dict[str, list[float]]:
    """pass@1 by generation on 40 held-out problems, N=12, T=4, for K=1 and 4: the curve drawn while it trains."""
    rng = np.random.default_rng([seed, 5])
    torch_rng = torch.Generator().manual_seed(seed)
    found: dict[str, list[float]] = {}
    for k in (1, 4):
        right = np.zeros((4, 4))
        for n in range(1, 5):
            problems = b.draw(rng, 10, n, "held_out", laziness)
            population = first_generation(fly, problems, 12, torch_rng)
            for generation in range(4):
                if generation:
                    population = next_generation(fly, problems, population, k, rng, torch_rng)
                flat = population.reshape(120, -1)
                right[generation, n - 1] = b.mark(np.repeat(problems, 12, 0), flat).right.mean()
        found[str(k)] = [round(float(x), 3) for x in right.mean(1)]
    return found


def train(recipe: Recipe, seed: int, out: Path, save_every: float) -> None:
    """Both stages, or what is left of them."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    fly = Fly(recipe.shape())
    optimizer = Optimizer(fly, *recipe.rates)
    state: dict[str, Any] = {"stage": 1, "step": 0, "seconds": 0.0, "tokens": 0, "pools": {}, "log": []}
    kept = out / "state.pt"
    identity = {"recipe": dataclasses.asdict(recipe), "seed": seed}
    if kept.exists():
        found = torch.load(kept, weights_only=False)
        if found.pop("identity") != identity:
            raise SystemExit(f"{kept} belongs to another recipe or seed; choose another --out")
        fly.load_state_dict(found.pop("weights"))
        optimizer.load(found.pop("optimizer"))
        state = found
        print(f"going on at stage {state['stage']}, step {state['step']}", flush=True)

    def save() -> None:
        part = kept.with_suffix(".part")
        torch.save(
            {**state, "identity": identity, "weights": fly.state_dict(), "optimizer": optimizer.state()}, part
        )
        part.replace(kept)

    began = time.time() - state["seconds"]
    saved = time.time()
    losses: dict[int, list[float]] = {}
    for stage, steps, name in (
        (1, recipe.stage1_steps, "base"),
        (2, recipe.stage2_steps, "fly2"),
        (3, recipe.stage3_steps, "fly"),
    ):
        if state["stage"] != stage:
            continue
        shares: tuple[float, ...] = ((), recipe.refreshes, (0.0, 0.5))[stage - 1]
        refreshes = {round(share * steps) for share in shares}
        looks = {round(share * steps) for share in (0.4, 0.7, 1.0)}
        rate = (1.0, recipe.stage2_rate, recipe.stage3_rate)[stage - 1]
        decay = 1.0 if stage == 3 else 0.6
        while state["step"] < steps:
            if state["step"] in refreshes and state.get("refreshed") != [stage, state["step"]]:
                state["refreshed"] = [stage, state["step"]]
                state["pools"] = refresh(fly, recipe, seed, state["step"] + 100_000 * (stage - 2))
            for part in range(recipe.shapes_per_step):
                prompts, chains, weights, k = batch(recipe, seed, stage, state["step"], part, state["pools"])
                tokens = torch.as_tensor(np.concatenate([prompts, chains], 1))
                length = chains.shape[1]
                logits = fly(tokens[:, :-1], length)
                each = F.cross_entropy(logits.flatten(0, 1), tokens[:, -length:].flatten(), reduction="none")
                weight = torch.as_tensor(weights, dtype=torch.float32).flatten()
                loss = (each * weight).sum() / weight.sum()
                (loss / recipe.shapes_per_step).backward()  # type: ignore[no-untyped-call]
                losses.setdefault(k, []).append(loss.item())
                state["tokens"] += tokens.numel()
            warm, left = (state["step"] + 1) / 30, (steps - state["step"]) / (decay * steps)
            optimizer.step(min(1.0, warm, max(0.02, left)) * rate)
            state["step"] += 1
            if state["step"] % 50 == 0 or state["step"] in looks:
                state["seconds"] = time.time() - began
                entry: dict[str, Any] = {
                    "stage": stage,
                    "step": state["step"],
                    "seconds": round(state["seconds"], 1),
                    "tokens": state["tokens"],
                    "loss": {str(k): round(float(np.mean(v)), 4) for k, v in sorted(losses.items())},
                }
                losses = {}
                if state["step"] in looks:
                    fly.eval()
                    entry["probe"] = probe(fly, seed, recipe.laziness)
                    if stage > 1:
                        entry["rsa"] = short_rsa(fly, seed, recipe.laziness)
                state["log"].append(entry)
                print(json.dumps(entry), flush=True)
                (out / "log.json").write_text(json.dumps({**identity, "log": state["log"]}, indent=1) + "\n")
                if "rsa" in entry:
                    curves.training(out)
            if time.time() - saved > save_every:
                state["seconds"] = time.time() - began
                save()
                saved = time.time()
        torch.save({"identity": identity, "weights": fly.state_dict()}, out / f"{name}.pt")
        state |= {"stage": stage + 1, "step": 0, "seconds": time.time() - began}
        optimizer = Optimizer(fly, *recipe.rates)
        save()
    print(f"done in {state['seconds']:.0f} s: {out}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=float, default=60.0, help="seconds between saved states")
    for field in dataclasses.fields(Recipe):
        if field.type in ("int", "float"):
            parser.add_argument(
                f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default
            )
    given = vars(parser.parse_args())
    torch.set_num_threads(given.pop("threads"))
    seed, out, save_every = given.pop("seed"), given.pop("out"), given.pop("save_every")
    train(Recipe(**given), seed, out, save_every)


if __name__ == "__main__":
    main()
