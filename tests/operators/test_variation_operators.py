"""Variation operators, driven by hand: what they show the model, how often they ask, what failures do to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from evolve_llm_operators.crossover import (
    aggregate,
    aggregate_adaptive,
    aggregate_answers,
    consensus,
    debate,
    distill,
    summarize_aggregate,
)
from evolve_llm_operators.mutation import critique_refine, refine, reproduce, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from variation_helpers import FORMATS, drive, parents, problem, text_of

from evolve_llm.nouns.errors import RequestError
from evolve_llm.nouns.request import Prompt
from evolve_llm.scheme import registry
from evolve_llm.scheme.declarations import Variation, declaration
from evolve_llm.scheme.operator import Consult, Copy
from evolve_llm.testing import HOSTILE

SHORT = {name: text for name, text in HOSTILE.items() if len(text) < 1_000 and text.strip()}

# operator, number of parents it is tried with, calls it makes on the way
OPERATORS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "aggregate": (aggregate, 3, 0),
    "aggregate_answers": (aggregate_answers, 3, 0),
    "aggregate_adaptive": (aggregate_adaptive, 3, 0),
    "consensus": (consensus, 3, 0),
    "summarize_aggregate": (summarize_aggregate, 3, 3),
    "distill": (distill, 3, 1),
    "debate": (debate, 2, 2),
    "refine": (refine, 1, 0),
    "critique_refine": (critique_refine, 1, 1),
    "sample": (sample, 0, 0),
}


def test_every_variation_operator_that_is_registered_is_tried_here() -> None:
    names = {
        name.removeprefix("vary.") for name in registry.available("operator") if name.startswith("vary.")
    }
    assert names == {*OPERATORS, "reproduce", "repair"}  # repair: tests/problems/code


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_has_prompts_for_every_answer_format(name: str, form: str) -> None:
    operator, count, calls = OPERATORS[name]
    family = parents(
        *(f"chain {slot}" for slot in range(count)), answers=[f"a{slot}" for slot in range(count)]
    )
    asked, made = drive(operator(problem(form), family), *(f"reply {call}" for call in range(calls)))
    assert isinstance(made, Prompt)
    shown = [one.prompt if isinstance(one, Consult) else one for one in asked]
    for prompt in [*shown, made]:
        assert "What is 2 + 2?" in text_of(prompt)
        assert "{{" not in text_of(prompt)
        assert "{%" not in text_of(prompt)
    ending = {
        "boxed": "\\boxed{}",
        "option": "\\boxed{}",
        "tags": "</answer>",
        "code": "code block",
        "text": "",
    }
    assert ending[form] in text_of(made)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_reference_is_in_no_prompt(name: str) -> None:
    """I3, also where an operator is handed a problem that still has it."""
    operator, count, calls = OPERATORS[name]
    family = parents(
        *(f"chain {slot}" for slot in range(count)), answers=[f"a{slot}" for slot in range(count)]
    )
    asked, made = drive(operator(problem(reference="the-secret"), family), *["reply"] * calls)
    for one in [*asked, made]:
        prompt = one.prompt if isinstance(one, Consult) else one
        assert isinstance(prompt, Prompt)
        assert "the-secret" not in text_of(prompt)


@pytest.mark.parametrize("hostile", SHORT.values(), ids=SHORT)
@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "sample"])
def test_hostile_chains_and_replies_are_shown_as_they_are(name: str, hostile: str) -> None:
    """I9: nothing that a model wrote is read as a template, and none can pass off a part of itself as ours."""
    operator, count, calls = OPERATORS[name]
    family = parents(
        *[hostile] * count, answers=[hostile] * count, classes=[str(slot) for slot in range(count)]
    )
    asked, made = drive(operator(problem(), family), *[hostile] * calls)
    for one in [*asked, made]:
        prompt = one.prompt if isinstance(one, Consult) else one
        assert isinstance(prompt, Prompt)
        content = text_of(prompt)
        assert hostile in content
        fences = [line for line in content.replace(hostile, "").splitlines() if line and line[0] in "=#~"]
        assert fences
        assert not any(line.split()[0] in hostile for line in fences)


@settings(max_examples=60)
@given(st.lists(st.text(min_size=1, max_size=20).filter(str.strip), min_size=1, max_size=5, unique=True))
def test_all_parents_are_shown_once_in_their_order(texts: list[str]) -> None:
    marked = [f"[{index}:{text}]" for index, text in enumerate(texts)]
    _, made = drive(aggregate(problem(), parents(*marked)))
    assert isinstance(made, Prompt)
    places = [text_of(made).find(one) for one in marked]
    assert -1 not in places
    assert places == sorted(places)
    assert all(text_of(made).count(one) == 1 for one in marked)


# ---------------------------------------------------------------- aggregate_answers


def test_aggregate_answers_shows_answers_and_no_chains() -> None:
    family = parents("chain one", "chain two", "chain three", answers=["41", None, "43"])
    made = aggregate_answers(problem(), family)
    content = text_of(made)
    assert "chain" not in content
    assert content.index("41") < content.index("gave no answer") < content.index("43")
    assert content.count("gave no answer") == 1


# ---------------------------------------------------------------- aggregate_adaptive


@settings(max_examples=150)
@given(
    classes=st.lists(st.sampled_from(("4", "5", "6", None)), min_size=1, max_size=8), few=st.integers(1, 5)
)
def test_as_many_parents_are_shown_as_their_answers_differ(classes: list[str | None], few: int) -> None:
    family = parents(*(f"[chain {slot}]" for slot in range(len(classes))), classes=classes)
    made = aggregate_adaptive(problem(), family, few=few)
    places = [text_of(made).find(one.text) for one in family]
    shown = [slot for slot, place in enumerate(places) if place >= 0]
    assert [place for place in places if place >= 0] == sorted(place for place in places if place >= 0)
    different = len(set(classes) - {None}) + classes.count(None)
    assert {classes[slot] for slot in shown} == set(classes)  # no answer is lost
    assert sum(classes[slot] is None for slot in shown) == classes.count(None)
    assert len(shown) >= max(different, min(few, len(classes)))
    if different == 1:
        assert len(shown) == min(few, len(classes))
    if different == len(classes):
        assert made == aggregate(problem(), family)


def test_more_disagreement_shows_more_parents_and_the_first_of_each_answer() -> None:
    for classes, shown in (
        (["4", "4", "4", "4"], [0, 1]),
        (["4", "4", "4", "5"], [0, 1, 3]),
        (["4", "4", "5", "6"], [0, 1, 2, 3]),
    ):
        family = parents("a", "b", "c", "d", classes=classes)
        assert aggregate_adaptive(problem(), family) == aggregate(problem(), [family[slot] for slot in shown])


def test_answer_classes_decide_and_it_says_that_it_needs_them() -> None:
    assert declaration(Variation, aggregate_adaptive).needs_classes is True
    family = parents("a", "b", "c", answers=["1/2", "0.5", "2/4"], classes=["1/2"] * 3)
    assert aggregate_adaptive(problem(), family) == aggregate(problem(), family[:2])


# ---------------------------------------------------------------- consensus


@settings(max_examples=100)
@given(st.lists(st.sampled_from(("4", "5", None)), min_size=1, max_size=4))
def test_consensus_copies_exactly_where_all_agree(classes: list[str | None]) -> None:
    family = parents(*(f"chain {slot}" for slot in range(len(classes))), answers=classes)
    made = consensus(problem(), family)
    if len(classes) > 1 and classes[0] is not None and set(classes) == {classes[0]}:
        assert made == Copy(family[0])
    else:
        assert made == aggregate(problem(), family)


def test_consensus_compares_classes_and_not_texts() -> None:
    family = parents("a", "b", answers=["1/2", "0.5"], classes=["1/2", "1/2"])
    assert consensus(problem(), family) == Copy(family[0])
    family = parents("a", "b", answers=["4", "4"], classes=["4 cm", "4 m"])
    assert isinstance(consensus(problem(), family), Prompt)


def test_consensus_declares_that_it_needs_classes_and_the_others_do_not() -> None:
    assert declaration(Variation, consensus).needs_classes is True
    assert not any(
        declaration(Variation, one).needs_classes for one in (aggregate, refine, reproduce, debate)
    )


# ---------------------------------------------------------------- summarize_aggregate


def test_each_parent_is_summarized_and_only_summaries_are_aggregated() -> None:
    family = parents("long chain A", "long chain B")
    asked, made = drive(summarize_aggregate(problem(), family), "short A", "short B")
    assert [one.about for one in asked if isinstance(one, Consult)] == family
    assert {one.purpose for one in asked if isinstance(one, Consult)} == {"summarize"}
    for one, parent in zip(asked, family, strict=True):
        assert isinstance(one, Consult)
        assert parent.text in text_of(one.prompt)
    assert isinstance(made, Prompt)
    assert "long chain" not in text_of(made)
    assert text_of(made).index("short A") < text_of(made).index("short B")


def test_the_question_about_a_parent_does_not_depend_on_who_asks() -> None:
    family = parents("A", "B", "C")
    first, _ = drive(summarize_aggregate(problem(), family[:2]), "a", "b")
    second, _ = drive(summarize_aggregate(problem(), family[:0:-1]), "c", "b")
    assert first[1] == second[1]


@pytest.mark.parametrize("reply", ["", " \n", RequestError("timeout")], ids=["empty", "blank", "failed"])
def test_a_parent_without_a_summary_is_shown_whole(reply: str | RequestError) -> None:
    _, made = drive(summarize_aggregate(problem(), parents("long chain A", "long chain B")), reply, "short B")
    assert isinstance(made, Prompt)
    assert "long chain A" in text_of(made)
    assert "long chain B" not in text_of(made)
    assert "short B" in text_of(made)


# ---------------------------------------------------------------- distill


def test_all_parents_are_distilled_and_the_child_is_made_from_the_notes_alone() -> None:
    (asked,), made = drive(distill(problem(), parents("draft A", "draft B")), "A and B part at step 2")
    assert isinstance(asked, Prompt)
    assert text_of(asked).index("draft A") < text_of(asked).index("draft B")
    assert isinstance(made, Prompt)
    assert "A and B part at step 2" in text_of(made)
    assert "draft" not in text_of(made).replace("drafts", "")


def test_notes_that_came_back_empty_are_replaced_by_the_first_parent() -> None:
    _, made = drive(distill(problem(), parents("draft A", "draft B")), " \n")
    assert made == refine(problem(), parents("draft A"))


# ---------------------------------------------------------------- critique_refine, debate


def test_the_critique_is_asked_of_the_parent_and_shown_with_it() -> None:
    (asked,), made = drive(critique_refine(problem(), parents("my chain")), "step 2 is wrong")
    assert isinstance(asked, Prompt)
    assert "my chain" in text_of(asked)
    assert isinstance(made, Prompt)
    assert text_of(made).index("my chain") < text_of(made).index("step 2 is wrong")


def test_a_debate_defends_each_side_against_the_other_and_then_concludes() -> None:
    asked, made = drive(debate(problem(), parents("chain A", "chain B")), "for A", "for B")
    first, second = (text_of(one) for one in asked if isinstance(one, Prompt))
    assert first.index("chain A") < first.index("chain B")
    assert second.index("chain B") < second.index("chain A")
    assert "for A" not in second, "the second side must not see the first one's defence"
    assert isinstance(made, Prompt)
    places = [text_of(made).index(one) for one in ("chain A", "chain B", "for A", "for B")]
    assert places == sorted(places)


def test_a_parent_without_an_opponent_is_refined() -> None:
    asked, made = drive(debate(problem(), parents("alone")))
    assert not asked
    assert made == refine(problem(), parents("alone"))


@pytest.mark.parametrize(
    ("operator", "family", "before"),
    [
        (critique_refine, ("A",), []),
        (distill, ("A", "B"), []),
        (debate, ("A", "B"), []),
        (debate, ("A", "B"), ["for A"]),
    ],
    ids=["critique", "notes", "first defence", "second defence"],
)
def test_a_child_fails_with_the_call_it_depends_on(
    operator: Callable[..., Any], family: tuple[str, ...], before: list[str]
) -> None:
    with pytest.raises(RequestError, match="timeout"):
        drive(operator(problem(), parents(*family)), *before, RequestError("timeout"))


def test_operators_give_the_same_prompts_twice() -> None:
    for operator, count, calls in OPERATORS.values():
        family = parents(*(f"chain {slot}" for slot in range(count)), answers=["1", "2", "3"][:count])
        first = drive(operator(problem(), family), *["reply"] * calls)
        assert drive(operator(problem(), family), *["reply"] * calls) == first
