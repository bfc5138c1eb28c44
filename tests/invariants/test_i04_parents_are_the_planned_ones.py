"""I4: every non-initial candidate has exactly the ordered parents its plan names, all from earlier generations."""

from __future__ import annotations

import itertools
from dataclasses import replace

import networkx as nx
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from evolve_llm import Completion, Preset, Problem, Request, Run, UserError, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.scheme.plan import plan_generation
from evolve_llm.scheme.toolbox import build
from evolve_llm.testing import (
    Behaviour,
    behaviours,
    contents,
    lineage,
    presets,
    problem_sets,
    run_directory,
    seeds,
)


def check_against_plans(run: Run, preset: Preset, seed: int) -> int:
    """Plan every generation again, from what is stored alone, and compare. Returns how many children."""
    scheme = build(preset)
    children = 0
    for problem, populations in run.populations():
        for before, after in itertools.pairwise(populations):
            live = [one for one in before.members if not one.failed]
            if scheme.plans_ahead:
                pool: list[object] = [one.uid for one in before.members]
            else:
                pool = [one.uid for one in live] if scheme.blind else list(live)
            plans = plan_generation(
                scheme.toolbox, scheme.choices, pool, generation=after.generation, n=preset.population,
                seed=seed, problem=problem.id, order=preset.order,
            )  # fmt: skip
            failed = {one.uid for one in before.members if one.failed}
            for plan, child in zip(plans, after.members, strict=True):
                children += 1
                assert child.uid == plan.uid
                assert child.parents == tuple(
                    uid for uid in plan.parents if uid not in failed and uid not in child.left_out
                )
                live = tuple(uid for uid in plan.parents if uid not in failed)
                assert child.left_out == tuple(uid for uid in live if uid not in child.parents)
                if preset.carry.policy == "drop" and child.parents:
                    assert (*child.parents, *child.left_out) == live  # from the end
                elif preset.carry.policy in ("full", "tail"):
                    assert child.left_out == ()
                assert len(child.cut) == len(child.parents)
                assert child.dropped == tuple(uid for uid in plan.parents if uid in failed)
                if plan.parents and not child.parents:
                    assert child.operator == "sample"
    return children


@settings(max_examples=40)
@given(problems=problem_sets(), preset=presets(), behaviour=behaviours(), seed=seeds())
def test_parents_and_dropped_are_the_plan(
    problems: list[Problem], preset: Preset, behaviour: Behaviour, seed: int
) -> None:
    with run_directory() as out:
        run = evolve(problems, preset, Scripted(behaviour), out=out, seed=seed)
        children = check_against_plans(run, preset, seed)
        assert children == len(problems) * preset.population * (preset.generations - 1)
        for order in range(len(problems)):
            pedigree = lineage(out, order)
            assert nx.is_directed_acyclic_graph(pedigree)
            for parent, child in pedigree.edges:
                assert pedigree.nodes[parent]["generation"] < pedigree.nodes[child]["generation"]


@settings(max_examples=30)
@given(
    preset=presets(max_generations=3),
    policy=st.sampled_from(("full", "tail", "answer", "drop")),
    order=st.sampled_from(("random", "slot", "popular", "trie")),
    behaviour=behaviours(),
    window=st.integers(220, 500),
    seed=seeds(),
)
def test_whatever_is_read_of_parents_they_are_the_planned_ones(
    preset: Preset, policy: str, order: str, behaviour: Behaviour, window: int, seed: int
) -> None:
    carry = {"carry.policy": policy} | ({"carry.tokens": 5} if policy == "tail" else {})
    chosen = preset.override({**carry, "order": order})

    def thinks(request: Request) -> Completion | BaseException:
        answer = behaviour(request)
        if isinstance(answer, Completion) and request.seed % 3:
            return replace(
                answer, reasoning=f"thought {request.id} " * 9, text=answer.text * (request.seed % 3 - 1)
            )
        return answer

    with run_directory() as out:
        try:
            run = evolve([Problem("p", "what?", "boxed")], chosen, Scripted(thinks, context_length=window), out=out,
                         seed=seed)  # fmt: skip
        except UserError:
            reject()
        check_against_plans(run, chosen, seed)


@settings(max_examples=20)
@given(preset=presets(), seed=seeds())
def test_the_prompt_shows_the_parents_texts_in_that_order_and_no_others(preset: Preset, seed: int) -> None:
    model = Scripted(Behaviour(fail=0.2), record=True)
    problem = Problem("p", "what?", "boxed")
    with run_directory() as out:
        run = evolve([problem], preset, model, out=out, seed=seed)
        populations = [members for _, found in run.populations() for members in found]
    texts = {one.uid: one.text for population in populations for one in population.members}
    prompts = {request.id: request.prompt.messages[-1].content for request in model.calls}
    for population in populations:
        for child in population.members:
            if child.copied:
                assert child.text == texts[child.parents[0]]
                continue
            prompt = prompts[f"p/{child.generation}/{child.slot}/vary/0"]
            place = 0
            for uid in child.parents:  # each after the one before: two may be copies of one text
                place = prompt.index(texts[uid], place) + len(texts[uid])
            shown = {text for text in texts.values() if text and text in prompt}
            assert shown == {texts[uid] for uid in child.parents}


def test_the_stored_pedigree_is_what_the_run_reports() -> None:
    with run_directory() as out:
        run = evolve([Problem("p", "what?", "boxed")], "smoke", Scripted(Behaviour()), out=out)
        pedigree = lineage(out)
        for population in next(found for _, found in run.populations()):
            for one in population.members:
                edges = sorted(pedigree.in_edges(one.uid, data="position"), key=lambda edge: edge[2])
                assert tuple(parent for parent, _, _ in edges) == one.parents
        assert len(contents(out)["candidates"]) == pedigree.number_of_nodes() == 12
