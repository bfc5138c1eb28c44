"""experiments/paper_claims: its study files, a cut of them run again, its measures and rules, and the batched fly."""

from __future__ import annotations

import asyncio
import importlib
import json
import math
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from evolve_llm_problems.locks import chain, guesses, load, read_question
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm import Candidate, Grade, Prompt, RequestError, Sampling, UserError, Verdict
from evolve_llm.backends.base import make_backend
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.request import Request
from evolve_llm.record.reader import StoredPopulation
from evolve_llm.scheme.toolbox import build
from evolve_llm.study.replay import source_of
from evolve_llm.study.run import carry_out
from evolve_llm.study.spec import Study, read_study

ROOT = Path(__file__).parents[2] / "experiments"
FILES = ("depth_and_size", "large", "parents", "opponents", "base")
FOLDERS = (ROOT / "paper_claims", ROOT / "fruit_fly")


@pytest.fixture(scope="module", autouse=True)
def no_modules_left_behind() -> Iterator[None]:
    """Folders of experiments share short module names; what is imported here must not shadow another's."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        file = str(getattr(module, "__file__", None))
        if name != __name__ and any(str(one) in file for one in FOLDERS):
            del sys.modules[name]


def of(name: str) -> ModuleType:
    """A module of the study."""
    for one in FOLDERS:
        if str(one) not in sys.path:
            sys.path.insert(0, str(one))
    return importlib.import_module(name)


def member(slot: int, text: str, tokens: int = 10) -> Candidate:
    answer = guesses(text)
    return Candidate(
        "p", 0, slot, "sample", text, answer, answer, prompt_tokens=tokens - 1, completion_tokens=1
    )


def population(texts: list[str], correct: str) -> StoredPopulation:
    members = tuple(member(slot, text) for slot, text in enumerate(texts))
    grades = {
        one.uid: Verdict(Grade.CORRECT if one.answer == correct else Grade.INCORRECT, "keys")
        for one in members
    }
    return StoredPopulation(0, members, grades)


# ---------------------------------------------------------------- the arms


def study_of(name: str, limit: int | None = None) -> Study:
    """A study of the folder."""
    return read_study(ROOT / "paper_claims" / f"{name}.toml", limit)


@pytest.mark.parametrize("name", FILES)
def test_every_arm_is_a_preset_that_the_product_builds(name: str) -> None:
    of("claims_verdicts")  # the folder is where the study is run from
    study = study_of(name)
    assert [one.problems for one in study.places] == ["locks?seed=101&size=200"]
    for arm in study.arms:
        assert build(arm.preset).preset.sampling.max_tokens == 25, arm.name


def test_what_is_compared_at_equal_calls_makes_96() -> None:
    of("claims_verdicts")
    for name in ("parents", "opponents"):
        for arm in study_of(name).arms:
            calls = arm.preset.population * arm.preset.generations
            assert calls == (256 if "256" in arm.name else of("claims_runs").CALLS), arm.name


def test_fewer_generations_and_a_smaller_vote_are_replayed() -> None:
    of("claims_verdicts")
    replayed = set()
    for name in ("depth_and_size", "opponents"):
        arms = study_of(name).arms
        replayed |= {arm.name for place, arm in enumerate(arms) if source_of(arm, arms[:place])}
    assert {"T=1", "T=6", "voting", "rejection", "best-of-n"} <= replayed


def test_the_report_names_arms_that_there_are() -> None:
    arms = of("claims_runs").ARMS
    assert tuple(arms) == FILES
    for file, names in arms.items():
        assert set(names.values()) <= {arm.name for arm in study_of(file).arms}


# ---------------------------------------------------------------- the committed results


@pytest.mark.slow
def test_a_cut_of_the_studies_gives_the_numbers_of_the_first_runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``cut.json`` is what the runner that made ``claims.json`` gave on the first four problems under run seed 0."""
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    m, runs = of("claims_measures"), of("claims_runs")
    monkeypatch.chdir(runs.HERE)  # base.safetensors is there
    cut, left_out = 2, ("N=64", "K=3", "K=8")
    expected = json.loads((runs.HERE / "results" / "cut.json").read_text("utf-8"))
    assert set(expected) == {name for names in runs.ARMS.values() for name in names}
    with of("in_batches").in_batches():
        for file, names in runs.ARMS.items():
            wanted = {arm for name, arm in names.items() if name not in left_out}
            study = replace(study_of(file, cut), seeds=(0,))
            study = replace(study, arms=tuple(arm for arm in study.arms if arm.name in wanted))
            asyncio.run(carry_out(study, tmp_path / file))
    found = runs.complete_runs(tmp_path)
    assert len(found) == len(expected) - len(left_out)
    spent = {problem: row["tokens"][5] for problem, row in m.reduced(found["rsa", 0]).items()}
    for (name, _), run in found.items():
        values = m.reduced(run, spent if name == "voting" else None)
        assert len(values) == cut
        for problem, row in values.items():
            assert json.dumps(row) == json.dumps(expected[name][problem]), (name, problem)


def test_the_committed_table_is_that_of_the_committed_numbers() -> None:
    t = of("claims_table")
    written = t.table(json.loads((t.HERE / "results" / "claims.json").read_text("utf-8")))
    for page in (t.HERE / "README.md", t.DOCS / "claims.md"):
        assert written in page.read_text("utf-8")


# ---------------------------------------------------------------- the chains' own verdicts


@given(st.integers(0, 10_000), st.lists(st.integers(0, 9), min_size=4, max_size=4))
def test_own_verdicts_read_the_chain_and_nothing_else(seed: int, keys: list[int]) -> None:
    verdicts = of("claims_verdicts")
    problem = next(iter(load(size=1, seed=seed, locks="4")))
    locks = read_question(problem.question)
    one = member(0, chain(locks, keys))
    opened = [lock.opens(key) for lock, key in zip(locks, keys, strict=True)]
    assert verdicts.opened(one.text) == opened
    values = asyncio.run(verdicts.own_verdicts(problem.public(), [one], None))
    whole = asyncio.run(verdicts.accepted(problem.public(), [one], None))
    assert values == [(float(sum(opened)),)]
    assert whole == [(float(all(opened)),)]


def test_a_chain_without_an_answer_is_never_accepted() -> None:
    verdicts = of("claims_verdicts")
    problem = next(iter(load(size=1, locks="1")))
    assert asyncio.run(verdicts.accepted(problem, [member(0, "nonsense"), member(1, "a1234A5")], None)) == [
        (0.0,),
        (0.0,),
    ]


# ---------------------------------------------------------------- the measures


def test_a_population_is_worth_what_each_choice_makes_of_it() -> None:
    m = of("claims_measures")
    texts = ["a1000A", "a2000.", "a2000.", "a3000A"]  # right, shut, shut, a false claim
    found = m.worth(*(lambda one: (one.members, one.verdicts))(population(texts, "1")))
    assert found["pass@1"] == 0.25
    assert found["pass@N"] == 1.0
    assert found["majority"] == 0.0
    assert found["verdicts"] == found["rejection"] == found["right claims"] == 0.5
    assert found["distinct"] == 3
    assert found["entropy"] == pytest.approx(1.5)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=30), st.randoms())
def test_choosing_the_fittest_does_not_depend_on_the_order(
    rows: list[tuple[int, bool]], rng: random.Random
) -> None:
    m = of("claims_measures")
    value = m.fittest([float(a) for a, _ in rows], [float(b) for _, b in rows])
    best = max(a for a, _ in rows)
    draws = [b for a, b in rows if a == best]
    assert value == pytest.approx(sum(draws) / len(draws))
    rng.shuffle(rows)
    assert m.fittest([float(a) for a, _ in rows], [float(b) for _, b in rows]) == pytest.approx(value)


def test_fewer_samples_are_the_first_ones() -> None:
    m = of("claims_measures")
    found = m.by_samples(population(["a2000."] * 2 + ["a1000A"] * 2, "1"), sizes=(2, 4, 8))
    assert found["samples"] == [2.0, 4.0]
    assert found["pass@1"] == [0.0, 0.5]
    assert found["tokens"] == [20.0, 40.0]


@pytest.mark.parametrize(("tokens", "count"), [(9, 1), (10, 1), (29, 2), (30, 3), (1000, 4)])
def test_a_budget_buys_whole_samples(tokens: int, count: int) -> None:
    m = of("claims_measures")
    assert m.affordable([member(slot, "a1000A") for slot in range(4)], tokens) == count


def test_seeds_are_averaged_inside_a_problem_and_differences_paired() -> None:
    m = of("claims_measures")
    runs = [
        {"p": {"x": [0.0, math.nan]}, "q": {"x": [1.0, 1.0]}},
        {"p": {"x": [1.0, 0.5]}, "q": {"x": [1.0, 1.0]}},
    ]
    assert m.over_seeds(runs) == {"p": {"x": [0.5, 0.5]}, "q": {"x": [1.0, 1.0]}}
    rng = random.Random(0)
    hard = [rng.random() for _ in range(40)]
    paired = m.difference([one * 0.9 + 0.1 for one in hard], [one * 0.9 for one in hard])
    assert paired["mean"] == pytest.approx(0.1)
    assert paired["interval"] is None, "no problem differs from another, however much the problems differ"
    assert m.mean(hard)["interval"][0] < m.mean(hard)["mean"] < m.mean(hard)["interval"][1]


# ---------------------------------------------------------------- the rules


def row(mean: float, low: float, high: float) -> dict[str, Any]:
    return {"mean": mean, "interval": [low, high]}


def test_the_interval_has_the_word() -> None:
    t = of("claims_table")
    assert t.positive(row(0.1, 0.02, 0.2)) == "holds"
    assert t.positive(row(0.1, -0.02, 0.2)) == "not settled"
    assert t.positive(row(-0.1, -0.2, -0.02)) == "does not hold"
    assert t.small([row(0.01, -0.02, 0.03)]) == "holds"
    assert t.small([row(0.01, -0.02, 0.08)]) == "not settled"
    assert t.small([row(0.1, 0.06, 0.12), row(0.0, -0.01, 0.01)]) == "does not hold"
    assert t.largest({"2 - 1": row(0.3, 0.2, 0.4), "3 - 2": row(0.1, 0.05, 0.15)}) == "holds"
    assert t.largest({"2 - 1": row(0.3, 0.05, 0.4), "3 - 2": row(0.1, 0.05, 0.15)}) == "not settled"
    assert t.largest({"2 - 1": row(0.1, 0.05, 0.15), "3 - 2": row(0.3, 0.2, 0.4)}) == "does not hold"
    assert t.shown(row(-0.06, -0.1, 1.0), sign=True) == "-.06 [-.10, +1.00]"


def test_publishing_twice_changes_nothing_more() -> None:
    t = of("claims_table")
    page = f"before\n{t.BEGIN}\nold\n{t.END}\nafter\n"
    once = t.insert(page, "| new |")
    assert "old" not in once
    assert t.insert(once, "| new |") == once
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    with pytest.raises(ValueError, match="lacks the lines"):
        t.insert("no marks", "x")
    for where in (t.HERE / "README.md", t.DOCS / "claims.md"):
        t.insert(where.read_text(), "x")


# ---------------------------------------------------------------- the backend


def prompts(count: int) -> list[str]:
    """Prompts of several lengths, some of them equal, and one that is no question."""
    rng = random.Random(1)
    found = ["<ab>"]
    for problem in load(size=count, seed=5):
        locks = read_question(problem.question)
        chains = (
            chain(locks, [rng.randrange(10) for _ in locks]) + "|" for _ in range(rng.choice([0, 1, 4]))
        )
        found.append("<" + "".join(chains) + problem.question + ">")
    return [*found, *found[:3]]


@pytest.mark.parametrize(
    "weights", ["evolve_llm/models/fly/model.safetensors", "experiments/paper_claims/base.safetensors"]
)
def test_the_batched_fly_writes_what_the_plain_network_would(weights: str) -> None:
    """In any batch, with drafts and shared prompts: token for token what one pass a token gives."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    b = of("sampling")
    fly = b.load_fly(ROOT.parent / weights)
    net, room = b.Network(fly), 27
    texts = prompts(10)
    for length in {len(text) for text in texts}:
        batch = [(seed, text) for seed, text in enumerate(texts) if len(text) == length]
        shared = b.Shared(length, room, 1.0, True)
        together = b.sample_rows(net, [text for _, text in batch], [seed for seed, _ in batch], shared)
        for (seed, text), (tokens, logprobs) in zip(batch, together, strict=True):
            numbers, ids, found = b.uniforms([seed], room)[0], [b.ID[one] for one in text], []
            with torch.inference_mode():
                while len(found) < room and found[-1:] != [b.ID[b.EOS]]:
                    logits = fly(torch.tensor([ids + found]), 1)[0, -1]
                    sums = torch.softmax(logits.double(), -1).cumsum(-1)
                    found.append(int((sums < numbers[len(found)] * sums[-1]).sum()))
                    assert float(torch.log_softmax(logits, -1)[found[-1]]) == pytest.approx(
                        logprobs[len(found) - 1], abs=1e-3
                    )
            assert tokens == found


@given(st.integers(0, 1000), st.lists(st.integers(0, 9), min_size=4, max_size=4), st.integers(0, 24))
def test_a_draft_is_what_a_faultless_chain_goes_on_with(seed: int, keys: list[int], cut: int) -> None:
    pytest.importorskip("torch")
    b = of("sampling")
    locks = read_question(next(iter(load(size=1, seed=seed, locks="4"))).question)
    whole = [b.ID[one] for one in chain(locks, keys)] + [b.ID[b.EOS]]
    found = b.draft(locks, whole[:cut])
    assert whole[cut : cut + len(found)] == found
    assert len(found) == (7 - cut % 6 if cut % 6 > 1 else 1 - cut % 6), (
        "up to the next guess, or to the end mark"
    )


def ask(seed: int, text: str, **sampling: Any) -> Request:
    return Request(
        "p", Address(0, seed, "vary", 0), Prompt.user(text), Sampling(**{"max_tokens": 30, **sampling}), seed
    )


def test_the_flies_are_sampled_in_batches_until_the_end_and_no_longer() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    plain = make_backend("fly").identity
    with of("in_batches").in_batches():
        names = {
            make_backend(one).identity for one in ("fly", "fly-hard", f"fly:{FOLDERS[0]}/base.safetensors")
        }
        assert len(names) == 3
        assert all(one.startswith("batched_fly:") for one in names)
        with pytest.raises(UserError, match="no argument"):
            make_backend("fly-hard:x")
    assert make_backend("fly").identity == plain == "llama_cpp:fly"


def test_the_backend_answers_alike_in_any_company() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    b = of("batched")
    requests = [ask(seed, text) for seed, text in enumerate(prompts(8)[1:])]

    async def answers(batch: int, wanted: list[Request]) -> list[str]:
        backend = b.batched_fly(batch=batch)
        await backend.start()
        try:
            found = await asyncio.gather(*map(backend.generate, wanted))
            for one, request in zip(found, wanted, strict=True):
                assert one.prompt_tokens == await backend.count_tokens(request.prompt)
                assert one.completion_tokens == len(one.text) + (one.finish_reason == "stop")
            for wrong in (ask(0, "hello"), ask(0, "<>" * 300), ask(0, "<>", top_p=0.5)):
                with pytest.raises(RequestError):
                    await backend.generate(wrong)
            return [one.text for one in found]
        finally:
            await backend.close()
            await backend.close()

    together = asyncio.run(answers(64, requests))
    assert asyncio.run(answers(1, requests[::-1])) == together[::-1]
    assert len(set(together)) > 4
    with pytest.raises(UserError, match="no weights"):
        b.batched_fly("nowhere")
