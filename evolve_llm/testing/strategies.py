"""Hypothesis strategies for the nouns: small, with every hard case in reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from evolve_llm.nouns.candidate import Candidate, Status, fitness_class
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme.preset import Preset
from evolve_llm.testing.behaviours import ORDERS, Behaviour

HOSTILE: dict[str, str] = {
    "empty": "",
    "blank": " \n\t ",
    "nul": "a\0b \\boxed{1\0}",
    "lone surrogate": "\ud800 \\boxed{\udc00}",
    "jinja": "{{ question }}{% for x in candidates %}{% endfor %}{{ 1 // 0 }}{# gone #} \\boxed{{{ 7*7 }}}",
    "jinja attack": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "unclosed jinja": "{% raw %}{{ {%",
    "ansi": "\x1b[2J\x1b[31m\x1b]0;title\x07 \\boxed{\x1b[0m}",
    "markup": "[bold red]x[/] <script>alert(1)</script> \\boxed{[/]}",
    "box bomb": "\\boxed{" * 20_000,
    "brace bomb": "\\boxed" + "{" * 20_000 + "1" + "}" * 20_000,
    "option bomb": "\n" * 50_000 + "(" * 50_000,
    "tag bomb": "<answer>" * 20_000,
    "fence bomb": "```\n" * 20_000,
    "one megabyte": "x" * 1_000_000 + " \\boxed{1}",
    "separators": "a|b/c\x1f\x1e\u2028\u2029\r\n\\boxed{1|2/3}",
    "fence": "===== Attempt 1 =====\n##### ~~~~~ ===== End of the attempts =====",
    "huge number": "\\boxed{" + "9" * 5_000 + "}",
    "look-alikes": "\\boxed{\u0661\u0662\u200b\ufeff}",
}
"""Texts that no model should write and some do, by what is wrong with them."""


def seeds() -> st.SearchStrategy[int]:
    """Seeds of runs: 0 … 2**63 - 1."""
    return st.integers(0, 2**63 - 1)


def orders() -> st.SearchStrategy[str]:
    """Completion orders of ``Reordering``."""
    return st.sampled_from(ORDERS)


def hostile_texts() -> st.SearchStrategy[str]:
    """The texts of HOSTILE, and any text Hypothesis thinks of, lone surrogates included."""
    anything = st.text(st.characters(exclude_categories=()), max_size=60)
    return st.one_of(st.sampled_from(sorted(HOSTILE.values(), key=len)), anything)


def problems(
    *,
    grader: str | None = "exact",
    format: str | None = None,
) -> st.SearchStrategy[Problem]:
    """One problem with a reference (``grader=None``: without), its id any storable text."""
    names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
    return st.builds(
        Problem,
        id=names,
        question=names.filter(lambda text: bool(text.strip())),
        format=st.just(format) if format else st.sampled_from(("boxed", "tags", "text")),
        grader=st.just(grader),
        reference=st.sampled_from(("4", "5", "6")) if grader else st.none(),
        metadata=st.dictionaries(st.sampled_from(("level", "source")), st.integers(0, 9), max_size=2),
    )


def problem_sets(*, min_size: int = 1, max_size: int = 3, **options: Any) -> st.SearchStrategy[list[Problem]]:
    """Problems with different ids; ``options`` as of ``problems``."""
    return st.lists(problems(**options), min_size=min_size, max_size=max_size, unique_by=lambda one: one.id)


@st.composite
def candidates(
    draw: st.DrawFn,
    *,
    problem: str = "p",
    generation: int = 0,
    slot: int = 0,
    fitness: st.SearchStrategy[float] | None = None,
    weights: Sequence[float] = (1.0,),
    texts: st.SearchStrategy[str] | None = None,
) -> Candidate:
    """One candidate of any status; ``fitness`` draws its values (None: not evaluated). A failed one has none."""
    status = draw(st.sampled_from((Status.OK, Status.OK, Status.TRUNCATED, Status.FAILED)))
    one = Candidate(problem, generation, slot, "sample", status=status)
    if status is Status.FAILED:
        one.reason = draw(st.sampled_from(("timeout", "context_overflow")))
        return one
    one.text = draw(texts if texts is not None else st.sampled_from(("a", "b", "")))
    one.answer = draw(st.sampled_from((None, "4", "5", "6")))
    one.answer_class = one.answer
    one.completion_tokens = draw(st.integers(0, 99))
    if fitness is not None:
        one.fitness = fitness_class(weights)()
        one.fitness.assign([draw(fitness) for _ in weights])
    return one


@st.composite
def populations(
    draw: st.DrawFn,
    *,
    min_size: int = 1,
    max_size: int = 6,
    evaluated: bool | None = True,
    failed: bool = False,
    weights: Sequence[float] = (1.0,),
) -> list[Candidate]:
    """A population in slot order, with many ties in fitness and in answers.

    ``evaluated``: whether members have a fitness, None for some; ``failed``: whether some may have failed
    (the engine shows selection only those that did not).
    """
    size = draw(st.integers(min_size, max_size))
    values = st.sampled_from((0.0, 0.0, 0.5, 1.0, -1.0))
    found = []
    for slot in range(size):
        has = evaluated if evaluated is not None else draw(st.booleans())
        one = draw(candidates(slot=slot, fitness=values if has else None, weights=weights))
        if one.failed and not failed:
            one.status, one.reason = Status.OK, ""
            if has:
                one.fitness = fitness_class(weights)()
                one.fitness.assign([draw(values) for _ in weights])
        found.append(one)
    return found


@st.composite
def presets(
    draw: st.DrawFn, *, max_population: int = 6, max_generations: int = 4, informed: bool | None = None
) -> Preset:
    """A small preset of the built-in operators: N up to 6, K up to N, T up to 4, mixtures included.

    ``informed``: whether selection looks at a fitness (True), is blind (False), or either (None).
    """
    n = draw(st.integers(1, max_population))
    kinds = {True: ("tournament", "best"), False: ("uniform", "identity")}
    names = kinds[informed] if informed is not None else (*kinds[False], *kinds[True])
    select = draw(st.sampled_from(names))
    k = 1 if select == "identity" else draw(st.integers(1, n))
    evaluate = draw(st.sampled_from(("agreement", "length")))
    if select in kinds[False] and draw(st.booleans()):
        evaluate = None  # type: ignore[assignment]
    operators = draw(st.lists(st.sampled_from(("aggregate", "refine", "sample")), min_size=1, unique=True))
    vary: list[dict[str, Any]] = [{"operator": name} for name in operators]
    if len(operators) > 1 or draw(st.booleans()):
        shares = draw(st.lists(st.integers(1, 5), min_size=len(vary), max_size=len(vary)))
        whole = sum(shares) + draw(st.sampled_from((0, 0, 1, 4)))  # what is missing to 1 reproduces
        for one, share in zip(vary, shares, strict=True):
            one["probability"] = share / whole
    finish = ["random", "majority"] + (["best"] if evaluate else [])
    data: dict[str, Any] = {
        "name": "drawn",
        "population": n,
        "parents": k,
        "generations": draw(st.integers(1, max_generations)),
        "select": {
            "operator": select,
            **({"tournsize": draw(st.integers(1, 4))} if select == "tournament" else {}),
        },
        "vary": vary,
        "finish": draw(st.sampled_from(finish)),
        "sampling": {
            "max_tokens": draw(st.integers(1, 64)),
            "temperature": draw(st.sampled_from((0.0, 0.7, 1.0))),
        },
    }
    if evaluate:
        data["evaluate"] = evaluate
    return Preset.from_plain(data, "a drawn preset")


def behaviours(*, hostile: bool = True, failures: bool = True) -> st.SearchStrategy[Behaviour]:
    """What a model does: healthy, failing, truncating, hostile, or all of it; sometimes nothing but fail."""
    shares = st.sampled_from((0.0, 0.0, 0.2, 0.6, 1.0)) if failures else st.just(0.0)
    small = [text for text in HOSTILE.values() if len(text) < 1_000]
    return st.builds(
        Behaviour,
        salt=st.integers(0, 2**16),
        answers=st.sampled_from((("4",), ("4", "5"), ("4", "5", "6", "7", "8"))),
        fail=shares,
        truncate=shares,
        hostile=st.just(tuple(small)) if hostile else st.just(()),
    )
