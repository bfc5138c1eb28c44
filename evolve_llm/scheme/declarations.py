"""What an operator declares of itself: one frozen object for each of the seven kinds, put there by a decorator
(see ``decorators``).

A decorated operator is still the function it was, so ``functools.partial``, DEAP's ``Toolbox.register`` and
``functools.wraps`` keep working: the declaration is found through all of them. A function that declares nothing (a
stock DEAP selector, say) gets the cautious values of ``Declaration.cautious``, except that no fitness does: which way
is better, and whether the reference is read, nobody can guess.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self, TypeVar

from evolve_llm.nouns.errors import EvolveError, UserError

ENGINE_KEYWORDS = frozenset({"templates", "verdicts", "generation", "spent"})
"""Keyword parameters of operators that the engine gives, not presets."""

Weights = Sequence[float] | Callable[..., Sequence[float]]
Flag = bool | Callable[..., bool]
Calls = int | Callable[..., int]
Requires = Callable[..., None]
"""``(preset, **parameters)``, the parameters being those the preset sets: raises ValueError (or UserError) saying
what would fit, where the operator cannot work in that preset. Called before a token is spent."""

_ATTRIBUTE = "__evolve_llm_declaration__"


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What is declared of one operator. ``kind`` is its name in presets, entry points and error messages."""

    kind: ClassVar[str]
    decorator: ClassVar[str]
    noun: ClassVar[str]

    @classmethod
    def cautious(cls, function: Callable[..., Any]) -> Self:  # noqa: ARG003
        """What is assumed of a function that declares nothing."""
        return cls()

    def line(self) -> str:
        """The decorator that declares this, as a line of Python."""
        said = [
            f"{one.name}={getattr(value, '__name__', None) or repr(value)}"
            for one in fields(self)
            if (value := getattr(self, one.name)) != one.default or one.default is MISSING
        ]
        return f"@{self.decorator}({', '.join(said)})"


@dataclass(frozen=True, kw_only=True)
class Selection(Declaration):
    """See ``selection``."""

    kind: ClassVar[str] = "select"
    decorator: ClassVar[str] = "selection"
    noun: ClassVar[str] = "selection"
    blind: bool
    needs_fitness: bool = False
    whole_generation: bool = False
    by_generation: bool = False
    distinct: bool = True
    objectives: int = 1
    arity: int | None = None
    structured: bool = False
    requires: Requires | None = None

    @classmethod
    def cautious(cls, function: Callable[..., Any]) -> Self:
        """It looks at the fitness; and those of DEAP draw with replacement."""
        return cls(blind=False, needs_fitness=True, distinct=not from_deap(function))


@dataclass(frozen=True, kw_only=True)
class Variation(Declaration):
    """See ``variation``."""

    kind: ClassVar[str] = "vary"
    decorator: ClassVar[str] = "variation"
    noun: ClassVar[str] = "variation"
    arity: int | None = None
    needs_classes: bool = False
    draws: bool = False


@dataclass(frozen=True, kw_only=True)
class Evaluation(Declaration):
    """See ``evaluation``."""

    kind: ClassVar[str] = "evaluate"
    decorator: ClassVar[str] = "evaluation"
    noun: ClassVar[str] = "fitness"
    weights: Weights
    oracle: Flag
    logprobs: Flag = False
    calls: Calls = 0
    again: Calls = 0
    parts: str | None = None

    @classmethod
    def cautious(cls, function: Callable[..., Any]) -> Self:
        """Raises UserError: there is no cautious guess."""
        raise UserError(
            f"the fitness {name_of(function)!r} does not say which way is better, nor whether it reads the "
            "reference; write @evaluation(weights=(1.0,), oracle=False) above it, with -1.0 where less is better"
        )


@dataclass(frozen=True)
class Measures:
    """An ``Evaluation`` whose values are those for the operator's own parameters."""

    weights: tuple[float, ...]
    oracle: bool
    logprobs: bool
    calls: int
    again: int


@dataclass(frozen=True, kw_only=True)
class Replacement(Declaration):
    """See ``replacement``."""

    kind: ClassVar[str] = "replace"
    decorator: ClassVar[str] = "replacement"
    noun: ClassVar[str] = "replacement"
    positional: bool = False
    needs_fitness: bool = False
    varies_size: bool = False
    narrows: bool = False
    requires: Requires | None = None


@dataclass(frozen=True, kw_only=True)
class Finishing(Declaration):
    """See ``finishing``."""

    kind: ClassVar[str] = "finish"
    decorator: ClassVar[str] = "finishing"
    noun: ClassVar[str] = "finish"
    needs_fitness: bool = False
    calls: int = 0
    attempts: int = 1
    requires: Requires | None = None


@dataclass(frozen=True, kw_only=True)
class Stopping(Declaration):
    """See ``stopping``."""

    kind: ClassVar[str] = "stop"
    decorator: ClassVar[str] = "stopping"
    noun: ClassVar[str] = "stopping rule"
    needs_fitness: bool = False
    spending: bool = False
    requires: Requires | None = None


@dataclass(frozen=True, kw_only=True)
class Adaptation(Declaration):
    """See ``adaptation``."""

    kind: ClassVar[str] = "adapt"
    decorator: ClassVar[str] = "adaptation"
    noun: ClassVar[str] = "adaptation"
    requires: Requires | None = None


KINDS: dict[str, type[Declaration]] = {
    one.kind: one for one in (Selection, Variation, Evaluation, Replacement, Finishing, Stopping, Adaptation)
}
"""The seven kinds, by their names in presets and entry points."""

D = TypeVar("D", bound=Declaration)


def declared(function: Callable[..., Any]) -> Declaration | None:
    """What an operator declares, looking through partials and ``__wrapped__``; None where it declares nothing."""
    for inner in _inside(function):
        found = getattr(inner, _ATTRIBUTE, None)
        if isinstance(found, Declaration):
            return found
    return None


def declaration(kind: type[D], function: Callable[..., Any]) -> D:
    """What an operator of this kind declares; the cautious values where it declares nothing.

    Raises UserError where it is declared as another kind, and for a fitness that declares nothing.
    """
    found = declared(function)
    if found is None:
        return kind.cautious(function)
    if not isinstance(found, kind):
        raise UserError(
            f"{name_of(function)!r} is declared with @{found.decorator}, and is used as a {kind.noun}: "
            f"that takes @{kind.decorator}"
        )
    return found


def measures(function: Callable[..., Any]) -> Measures:
    """What a fitness declares, for the parameters bound to it.

    Raises UserError where a function of the parameters refuses them, and for a fitness that declares nothing.
    """
    found = declaration(Evaluation, function)

    def settled(value: Any) -> Any:
        if not callable(value):
            return value
        try:
            return value(**own_parameters(function))
        except EvolveError:
            raise
        except Exception as error:
            raise UserError(
                f"operator {name_of(function)!r} cannot work with these parameters: {error}"
            ) from error

    return Measures(
        weights=tuple(settled(found.weights)),
        oracle=bool(settled(found.oracle)),
        logprobs=bool(settled(found.logprobs)),
        calls=int(settled(found.calls)),
        again=int(settled(found.again)),
    )


def own_parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters bound to an operator, without those that the engine gives."""
    bound: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        bound = {**function.keywords, **bound}
        function = function.func
    return {name: value for name, value in bound.items() if name not in ENGINE_KEYWORDS}


def name_of(function: Callable[..., Any]) -> str:
    """The name to show for an operator, looking through partials (DEAP's toolbox names its own after the alias)."""
    inner = unbound(function)
    return str(getattr(inner, "__name__", repr(inner)))


def reference_of(function: Callable[..., Any]) -> str:
    """``module:qualname`` of an operator; for a partial, of what it binds.

    A decorated function that borrowed the name of the one inside is not that one: then both are named.
    """
    inner: Any = unbound(function)
    name = f"{getattr(inner, '__module__', '?')}:{getattr(inner, '__qualname__', type(inner).__qualname__)}"
    wrapped = getattr(inner, "__wrapped__", None)
    if wrapped is None or _standing_at(name) is inner:
        return name
    code = getattr(inner, "__code__", None)
    own = f"{inner.__globals__.get('__name__', '?')}:{code.co_qualname}" if code else type(inner).__qualname__
    return f"{own} around {reference_of(wrapped)}"


def _standing_at(name: str) -> Any:
    """What an imported module has under ``module:qualname``; None where it has nothing there."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def unbound(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function inside any partials."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def from_deap(function: Callable[..., Any]) -> bool:
    """Whether a function is one of DEAP's own."""
    return str(getattr(unbound(function), "__module__", "")).startswith("deap.")


def _inside(function: Any) -> Iterator[Any]:
    """A function, and what its partials and wrappers were put around, from outside in."""
    seen: set[int] = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        yield function
        inner = function.func if isinstance(function, functools.partial) else None
        function = inner if inner is not None else getattr(function, "__wrapped__", None)


def declare(function: Any, said: Declaration) -> None:
    """Put a declaration on a function, in the place of any other."""
    setattr(function, _ATTRIBUTE, said)
