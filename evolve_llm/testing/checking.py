"""The right contract for a thing, run without pytest, with what was found in plain words."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from unittest import SkipTest

from hypothesis.errors import HypothesisWarning

from evolve_llm.backends.base import Backend
from evolve_llm.grading.base import Grader
from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme import registry
from evolve_llm.scheme.declarations import ENGINE_KEYWORDS, Selection, declaration, measures
from evolve_llm.scheme.problem_sets import load_problems
from evolve_llm.testing.backend import BackendContract
from evolve_llm.testing.fairness import FairSelectionContract
from evolve_llm.testing.finish import FinishContract
from evolve_llm.testing.fitness import FitnessContract
from evolve_llm.testing.grader import GraderContract
from evolve_llm.testing.problem_set import ProblemContract
from evolve_llm.testing.replacement import ReplacementContract, the_best
from evolve_llm.testing.rules import AdaptationContract, StoppingContract
from evolve_llm.testing.variation import VariationContract

Outcome = Literal["kept", "broken", "not checked"]

OPERATORS: dict[str, tuple[type, str, tuple[str, ...]]] = {
    "select": (FairSelectionContract, "selector", ("individuals", "k")),
    "vary": (VariationContract, "variation", ("problem", "parents")),
    "evaluate": (FitnessContract, "fitness", ("problem", "candidates", "ask")),
    "replace": (ReplacementContract, "replacement", ("parents", "offspring", "n")),
    "finish": (FinishContract, "finish", ("problem", "population")),
    "stop": (StoppingContract, "rule", ("problem", "history")),
    "adapt": (AdaptationContract, "adapt", ("probabilities", "rewards")),
}
"""For each kind of operator: its contract, the attribute that names the operator there, and its parameters."""

KINDS = (*OPERATORS, "grader", "problems", "backend")
CLAIMS: dict[str, tuple[str, dict[str, Any]]] = {
    "keeps-best": ("replace", {"elite_of": staticmethod(the_best)}),
    "majority": ("finish", {"majority": True}),
    "shows-answers": ("vary", {"shows": "answers"}),
    "shows-nothing": ("vary", {"shows": "nothing"}),
    "has-favourites": ("select", {"test_favours_no_place": None}),
}
"""What an operator may claim, or disclaim, beside what it declares: the kind it belongs to, and what follows."""

_TELLING = {
    "blind": "select", "needs_classes": "vary", "weights": "evaluate", "positional": "replace", "spending": "stop",
    "calls": "finish",
}  # fmt: skip
_GROUPS = {"grader": "grader", "problems": "problem set", "backend": "backend"}


@dataclass(frozen=True)
class Finding:
    """What became of one property: its name, what it promises, and where it is broken the smallest example."""

    property: str
    promise: str
    outcome: Outcome
    detail: str = ""

    def plain(self) -> dict[str, str]:
        """The finding as plain data, for ``--json``."""
        return asdict(self)


def contract_of(
    reference: str,
    kind: str | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    claims: Sequence[str] = (),
) -> tuple[str, type]:
    """The kind of what a reference names, and its contract ready to run.

    ``reference``: a built-in's name (``select.uniform``), ``module:name``, or a problem SPEC. Raises UserError
    where there is no such thing, its kind cannot be told, or it needs parameters that were not given.
    """
    if kind is not None and kind not in KINDS:
        raise UserError(registry.unknown("kind", kind, KINDS))
    given = dict(parameters or {})
    kind, thing = _found(reference, kind)
    body: dict[str, Any] = {}
    for claim in claims:
        if claim not in CLAIMS:
            raise UserError(registry.unknown("claim", claim, CLAIMS))
        belongs, attributes = CLAIMS[claim]
        if belongs != kind:
            raise UserError(
                f"the claim {claim!r} is for operators of the kind {belongs!r}, but this is of the kind "
                f"{kind!r}"
            )
        body |= attributes
    if kind in OPERATORS:
        base, attribute, _ = OPERATORS[kind]
        operator = _bound(reference, kind, thing, given)
        body = {attribute: staticmethod(operator), **_particulars(kind, operator), **body}
        return kind, type(f"Check{base.__name__}", (base,), body)
    return kind, _plugged_in(kind, reference, thing, given)


def findings(contract: type) -> list[Finding]:
    """Run every property of a contract, in the order in which it states them."""
    names = [
        name
        for base in reversed(contract.__mro__)
        for name in vars(base)
        if name.startswith("test_") and getattr(contract, name) is not None
    ]
    return [_finding(contract, name) for name in dict.fromkeys(names)]


def _finding(contract: type, name: str) -> Finding:
    method = getattr(contract, name)
    promise = " ".join((inspect.getdoc(method) or "").split("\n\n")[0].split())
    title = name.removeprefix("test_").replace("_", " ")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HypothesisWarning)  # of examples too large to be shown whole
            getattr(contract(), name)()
    except SkipTest as skipped:
        return Finding(title, promise, "not checked", str(skipped))
    except Exception as error:
        return Finding(title, promise, "broken", in_words(error))
    return Finding(title, promise, "kept")


def in_words(error: BaseException) -> str:
    """What a property raised, without the machinery around it."""
    if type(error).__name__.startswith("Flaky"):
        parts = getattr(error, "exceptions", ())
        first = next((in_words(one) for one in parts if isinstance(one, AssertionError)), "")
        return "it does not do the same when called again with the same arguments" + (
            f"; once, {first}" if first else ""
        )
    if isinstance(error, BaseExceptionGroup):
        return in_words(error.exceptions[0])
    if isinstance(error, AssertionError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _found(reference: str, kind: str | None) -> tuple[str, Any]:
    head = reference.partition(".")[0]
    if head in OPERATORS and ":" not in reference:
        if kind not in (None, head):
            raise UserError(f"{reference!r} is an operator of the kind {head!r}, not {kind!r}")
        if reference not in registry.available("operator"):
            names = [name for name in registry.available("operator") if name.startswith(f"{head}.")]
            raise UserError(registry.unknown("operator", reference, names) + "; or module:name")
        return head, registry.load("operator", reference)
    if kind in OPERATORS and f"{kind}.{reference}" in registry.available("operator"):
        return kind, registry.load("operator", f"{kind}.{reference}")
    groups = [one for one in _GROUPS if kind in (None, one) and reference in registry.available(_GROUPS[one])]
    if len(groups) == 1:
        return groups[0], registry.load(_GROUPS[groups[0]], reference)
    if groups:
        raise UserError(
            f"{reference!r} names several things; choose one with --kind {' or --kind '.join(groups)}"
        )
    if kind in (None, "problems") and (
        head.partition(":")[0] in registry.available("problem set")
        or Path(reference.partition("?")[0]).is_file()
    ):
        return "problems", None
    if ":" not in reference:
        known = sorted(
            {*registry.available("operator")}.union(*(registry.available(one) for one in _GROUPS.values()))
        )
        raise UserError(registry.unknown("name", reference, known) + "; or module:name")
    thing = registry.imported(reference)
    return kind or _guessed(reference, thing), thing


def _guessed(reference: str, thing: Any) -> str:
    for attribute, kind in _TELLING.items():
        inner = thing
        while inner is not None:
            if hasattr(inner, attribute):
                return kind
            inner = getattr(inner, "func", None)
    if isinstance(thing, Grader):
        return "grader"
    if callable(thing):
        try:
            names = tuple(inspect.signature(thing).parameters)
        except (TypeError, ValueError):
            names = ()
        if inspect.iscoroutinefunction(thing):
            return "evaluate"
        for kind, (_, _, wanted) in OPERATORS.items():
            if names[: len(wanted)] == wanted:
                return kind
    raise UserError(f"the kind of {reference!r} is not clear; choose one with --kind: {', '.join(KINDS)}")


def _bound(reference: str, kind: str, operator: Any, given: dict[str, Any]) -> Callable[..., Any]:
    """The operator with its parameters. Raises UserError for unknown and for missing ones."""
    if not callable(operator):
        raise UserError(f"{reference!r} is a {type(operator).__name__}, not a function")
    try:
        known = inspect.signature(operator).parameters
    except (TypeError, ValueError):
        return functools.partial(operator, **given) if given else operator
    wanted = dict(list(known.items())[len(OPERATORS[kind][2]) :])
    for name in given:
        if name not in wanted and not any(one.kind is one.VAR_KEYWORD for one in wanted.values()):
            raise UserError(
                f"{reference!r} has no parameter {name!r}; it takes: {', '.join(wanted) or 'none'}"
            )
    missing = [
        name
        for name, one in wanted.items()
        if one.default is one.empty
        and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        and name not in {*given, *ENGINE_KEYWORDS}
    ]
    if missing:
        raise UserError(
            f"{reference!r} needs the parameter(s) {', '.join(missing)}; give them with --set {missing[0]}=VALUE"
        )
    return functools.partial(operator, **given) if given else operator


def _particulars(kind: str, operator: Callable[..., Any]) -> dict[str, Any]:
    """What the contract is to know, as far as the operator declares it."""
    if kind == "select":
        return {"may_refuse": True, "weights": (1.0,) * max(1, declaration(Selection, operator).objectives)}
    if kind == "evaluate":
        measures(operator)  # it may refuse its parameters: found before anything is run
    return {}


def _plugged_in(kind: str, reference: str, thing: Any, given: dict[str, Any]) -> type:
    if kind == "grader":
        cases: dict[str, Any] = {}
        if "reference" in given:
            wanted = given.pop("reference")
            cases = {"right": ((wanted, str(wanted)),), "wrong": ((wanted, f"not {wanted} at all"),)}
        _none_left(reference, given, "reference")
        return type("CheckGraderContract", (GraderContract,), {"grader": thing, **cases})
    argument = given.pop("argument", "")
    if kind == "problems":
        if thing is None or reference in registry.available("problem set"):
            spec = f"{reference}:{argument}" if argument else reference

            def load() -> Any:
                return load_problems(spec, options=given or None, limit=ProblemContract.limit)
        else:

            def load() -> Any:
                return thing(argument, **given)

        return type("CheckProblemContract", (ProblemContract,), {"load": staticmethod(load)})
    if isinstance(thing, Backend) or not callable(thing):
        raise UserError(
            f"{reference!r} must be a factory of backends: a function factory(argument, **options)"
        )

    def make() -> Any:
        return thing(argument, **given)

    make()  # wrong options are the user's fault, and found before anything is run
    return type("CheckBackendContract", (BackendContract,), {"make": staticmethod(make)})


def _none_left(reference: str, given: Mapping[str, Any], known: str) -> None:
    if given:
        raise UserError(f"{reference!r} has no parameter {next(iter(given))!r}; it takes: {known}")
