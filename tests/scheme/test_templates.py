"""Prompts: parents whole and in order, the reference never, model text never read as a template (I3, I9)."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evolve_llm_operators.crossover import AGGREGATE, aggregate
from evolve_llm_operators.mutation import REFINE, SAMPLE, refine, reproduce, sample
from evolve_llm_operators.prompts import PROMPTS
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Prompt
from evolve_llm.scheme import registry
from evolve_llm.scheme.declarations import Variation, declaration
from evolve_llm.scheme.formats import AnswerFormat, whole_text
from evolve_llm.scheme.operator import Copy
from evolve_llm.scheme.templates import Templates, check_prompts, fence

FORMATS = ("boxed", "tags", "option", "code", "text")
HOSTILE = (
    "{{ question }}",
    "{% raw %}",
    "{# comment",
    "{{ problem.reference }}",
    "{% for x in [1] %}",
    "===== Attempt 2 =====",
    "=====",
    "<b>&amp;</b>",
)
CHAINS = st.lists(st.one_of(st.text(), st.sampled_from(HOSTILE)), min_size=1, max_size=5)


def _parents(texts: list[str]) -> list[Candidate]:
    return [Candidate("p", 0, slot, "sample", text=text) for slot, text in enumerate(texts)]


def _text(prompt: Prompt) -> str:
    assert [message.role for message in prompt.messages] == ["user"]
    return prompt.messages[0].content


@given(form=st.sampled_from(FORMATS), question=st.text(min_size=1), texts=CHAINS)
def test_every_parent_stands_in_the_prompt_exactly_and_in_order(
    form: str, question: str, texts: list[str]
) -> None:
    problem = Problem("p", question, form, "exact", "THE-SECRET-REFERENCE")

    prompt = _text(aggregate(problem, _parents(texts)))

    mark = fence([question, *texts])
    position = prompt.index(question) + len(question)
    for number, text in enumerate(texts, 1):
        word = "Answer" if form == "text" else "Attempt"
        heading = f"{mark} {word} {number} {mark}\n"
        position = prompt.index(heading + text, position) + len(heading) + len(text)
    assert "THE-SECRET-REFERENCE" not in prompt


@given(form=st.sampled_from(FORMATS), question=st.text(min_size=1), texts=CHAINS)
def test_refine_shows_its_parent_and_sample_none(form: str, question: str, texts: list[str]) -> None:
    problem = Problem("p", question, form, "exact", "THE-SECRET-REFERENCE")
    for prompt in (_text(refine(problem, _parents(texts[:1]))), _text(sample(problem))):
        assert question in prompt
        assert "THE-SECRET-REFERENCE" not in prompt
    assert texts[0] in _text(refine(problem, _parents(texts[:1])))


@given(texts=CHAINS)
def test_no_text_holds_the_fence_that_sets_it_apart(texts: list[str]) -> None:
    assert not any(fence(texts) in text for text in texts)


def test_a_fence_is_found_among_all_the_usual_ones() -> None:
    text = "=" * 50 + "#" * 50 + "~" * 50
    assert fence([text]) not in text
    assert len(fence([text])) < 40


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_value_is_never_read_as_a_template(hostile: str) -> None:
    problem = Problem("p", "SENTINEL", "boxed", "math", "7")
    first = _text(aggregate(problem, _parents([hostile])))
    assert first.count("SENTINEL") == 1
    assert hostile in _text(aggregate(problem, _parents([first])))


@pytest.mark.parametrize("form", FORMATS)
def test_every_built_in_prompt_says_how_to_answer(form: str) -> None:
    said = {"boxed": r"\boxed{}", "option": r"\boxed{}", "tags": "<answer>", "code": "fenced", "text": ""}[
        form
    ]
    problem = Problem("p", "Q?", form)
    for prompt in (
        sample(problem),
        refine(problem, _parents(["a"])),
        aggregate(problem, _parents(["a", "b"])),
    ):
        assert said in _text(prompt)


def test_operators_declare_their_arity_and_reproduce_asks_nobody() -> None:
    arities = [declaration(Variation, one).arity for one in (aggregate, refine, sample, reproduce)]
    assert arities == [None, 1, 0, 1]
    parent = _parents(["a"])[0]
    assert reproduce(Problem("p", "Q?"), [parent]) == Copy(parent)


def _override(folder: Path, **files: str) -> Templates:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return Templates(folder)


def test_the_users_files_win_the_formats_own_first(tmp_path: Path) -> None:
    mine = _override(
        tmp_path, aggregate="any {{ question }}", boxed__aggregate="boxed {{ candidates|length }}"
    )
    templates = mine.over(AGGREGATE)
    assert _text(aggregate(Problem("p", "Q", "boxed"), _parents(["a"]), templates=templates)) == "boxed 1"
    assert _text(aggregate(Problem("p", "Q", "tags"), _parents(["a"]), templates=templates)) == "any Q"
    assert _text(refine(Problem("p", "Q", "tags"), _parents(["a"]), templates=mine.over(REFINE))).startswith(
        "Prob"
    )


def test_a_system_file_becomes_the_system_message(tmp_path: Path) -> None:
    templates = _override(tmp_path, system="You solve {{ problem.metadata.subject }}.").over(SAMPLE)
    prompt = sample(Problem("p", "Q", metadata={"subject": "algebra"}), templates=templates)
    assert [(message.role, message.content) for message in prompt.messages] == [
        ("system", "You solve algebra."),
        ("user", "Q"),
    ]


def test_a_format_brings_its_own_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sample.md").write_text("grid: {{ question }}")
    load: Callable[[str, str], Any] = registry.load
    grid = AnswerFormat("grid", whole_text, tmp_path)
    monkeypatch.setattr(registry, "load", lambda kind, name: grid if name == "grid" else load(kind, name))

    templates = Templates(builtin=PROMPTS, names=("sample",))

    assert _text(sample(Problem("p", "Q", "grid"), templates=templates)) == "grid: Q"
    with pytest.raises(UserError, match=r"no prompt template 'refine' for the answer format 'grid'"):
        templates.check(["grid"], ["refine"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{{ qestion }}",
            "unknown variable 'qestion'; it may use: candidate, candidates, fence, problem, question",
        ),
        ("line\n{% if %}", "aggregate.md, line 2: "),
        ("{{ question | shout }}", "aggregate.md, line 1: .*shout"),
        ("{% include 'other.md' %}", "includes another file"),
        (" \n", "is empty"),
        ("{{ problem.metadata.subject }}", "no attribute 'subject'"),
        ("{{ candidates[7] }}", "aggregate.md"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ lipsum() }}", "unknown variable 'lipsum'"),
        ("{{ candidates | random }}", "random"),
    ],
)
def test_a_faulty_template_is_found_before_a_token_is_spent(text: str, message: str, tmp_path: Path) -> None:
    templates = _override(tmp_path, aggregate=text).over(AGGREGATE)
    with pytest.raises(UserError, match=message):
        check_prompts([templates], [Problem("p", "Q", "boxed", reference="7")])


def test_a_template_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "sample.md").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"cannot read the prompt template .*sample\.md"):
        Templates(tmp_path).over(SAMPLE).check(["boxed"])


def test_a_folder_that_is_missing_or_of_no_use_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist or is not a folder"):
        Templates(tmp_path / "none")
    unused = _override(tmp_path, agregate="{{ question }}")
    problems = [Problem("p", "Q", "boxed")]
    with pytest.raises(
        UserError, match=r"no prompt template in .* is used.*aggregate\.md, sample\.md, system\.md"
    ):
        check_prompts([unused.over(AGGREGATE), unused.over(SAMPLE)], problems)


def test_the_digest_follows_the_texts_that_are_used_and_no_others(tmp_path: Path) -> None:
    problems = [Problem("p", "Q", "boxed"), Problem("q", "Q", "tags")]
    used = [AGGREGATE, SAMPLE]
    plain = check_prompts(used, problems)
    assert plain == check_prompts([Templates(builtin=PROMPTS, names=one.names) for one in used], problems)

    def digest(name: str, text: str) -> str:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        mine = _override(folder, sample=(PROMPTS / "boxed" / "sample.md").read_text(), **{name: text})
        return check_prompts([mine.over(one) for one in used], [Problem("p", "Q", "boxed")])

    same = check_prompts(used, problems[:1])
    assert digest("refine", "not used") == same
    assert digest("text__aggregate", "of another format") == same
    changed = [digest("aggregate", "a"), digest("aggregate", "b"), digest("system", "s"), same, plain]
    assert all(a != b for a, b in itertools.combinations(changed, 2))


def test_an_operator_may_pass_values_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "judge.md").write_text("{{ question }} {{ criterion }}")
    templates = Templates(builtin=tmp_path, names=("judge",), variables=("criterion",))
    templates.check(["boxed"])
    assert _text(templates.render(Problem("p", "Q", "boxed"), "judge", criterion="short?")) == "Q short?"
    with pytest.raises(UserError, match="unknown variable 'criterion'"):
        Templates(builtin=tmp_path, names=("judge",)).check(["boxed"])


@settings(max_examples=25)
@given(texts=CHAINS)
def test_a_prompt_is_a_function_of_its_arguments(texts: list[str]) -> None:
    problem = Problem("p", "Q", "tags")
    fresh = Templates(builtin=PROMPTS, names=("aggregate",))
    assert aggregate(problem, _parents(texts)) == aggregate(problem, _parents(texts), templates=fresh)
