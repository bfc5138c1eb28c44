"""The one contract between the engine and any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from evolve_llm.nouns.request import Completion, ModelInfo, Prompt, Request
from evolve_llm.scheme import registry

__all__ = [
    "Backend",
    "Completion",
    "Load",
    "ModelInfo",
    "Prompt",
    "Request",
    "load_of",
    "make_backend",
    "takes_pictures",
    "token_starts",
]


@dataclass(frozen=True, slots=True)
class Load:
    """What an engine has on its hands: requests in the batch that runs, and requests that wait for room in it."""

    running: int
    waiting: int


@runtime_checkable
class Backend(Protocol):
    """Anything that turns a Request into a Completion.

    A backend plugs in by an entry point of the group ``evolve_llm.backends`` that names a factory
    ``factory(argument: str, **options) -> Backend``; ``--model NAME:ARGUMENT`` calls it, and
    ``--set engine.KEY=VALUE`` and ``--base-url`` become keyword options. A factory does no I/O and
    raises ``UserError`` on unknown or impossible options, listing the ones that exist.

    Life: ``start`` once, then any number of ``generate`` and ``count_tokens`` at once, then ``close``
    once (also after a failed start). All of them run on one event loop; blocking work goes to a thread
    or a process. Cancelling ``generate`` must free what it holds.

    ``identity`` goes into the run's configuration: it says which model answers (never a URL, key or
    speed setting), so that the same run may be resumed against another replica of the same model.
    """

    @property
    def identity(self) -> str:
        """Which model answers."""
        ...

    @property
    def capacity(self) -> int:
        """How many requests are worth having in flight at once."""
        ...

    async def start(self) -> ModelInfo:
        """Load or reach the model without spending a token.

        Raises ``BackendError`` when it cannot be used (dead server, wrong key, no such model) and
        ``UserError`` when what was asked for can never work.
        """
        ...

    async def generate(self, request: Request) -> Completion:
        """Answer one request, retrying inside where a retry can help (429, 5xx, reset, timeout).

        Raises ``RequestError`` when this request cannot be answered but others can, and
        ``BackendError`` when the model as a whole is gone.
        """
        ...

    async def count_tokens(self, prompt: Prompt) -> int:
        """Prompt length in tokens with the chat template applied: exact where the engine can tell,
        otherwise an estimate that errs high."""
        ...

    async def close(self) -> None:
        """Release everything. It may be called several times, and never raises."""
        ...


# ---- what a backend may also offer, as methods of these names


async def token_starts(backend: Backend, text: str) -> Sequence[int] | None:
    """Where each token of a text starts, in characters, ascending; None where the engine cannot tell.

    Asks the backend's own ``async token_starts(text) -> Sequence[int] | None``, where it has one.
    """
    asked = getattr(backend, "token_starts", None)
    found: Sequence[int] | None = None if asked is None else await asked(text)
    return found


def takes_pictures(backend: Backend) -> bool:
    """Whether the model, once started, can be shown pictures.

    Asks the backend's own attribute ``pictures``, where it has one. A prompt with pictures comes to no other.
    """
    return bool(getattr(backend, "pictures", False))


async def load_of(backend: Backend) -> Load | None:
    """How busy the engine is just now; None where it cannot tell.

    Asks the backend's own ``async load() -> Load | None``, where it has one.
    """
    asked = getattr(backend, "load", None)
    found: Load | None = None if asked is None else await asked()
    return found


async def revived(backend: Backend) -> ModelInfo | None:
    """What a model says of itself that was gone and answers again; None where it does not, or cannot come back.

    Asks the backend's own ``async revive() -> ModelInfo | None``, where it has one.
    """
    asked = getattr(backend, "revive", None)
    found: ModelInfo | None = None if asked is None else await asked()
    return found


def make_backend(spec: str, options: Mapping[str, Any] | None = None) -> Backend:
    """A backend from ``NAME[:ARGUMENT]`` and its options. Raises UserError on anything that cannot work."""
    name, _, argument = spec.partition(":")
    factory = registry.load("backend", name.strip())
    backend: Backend = factory(argument, **(options or {}))
    return backend
