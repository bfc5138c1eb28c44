"""Settings of the whole suite."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from evolve_llm.session import identity

settings.register_profile("evolve-llm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("evolve-llm")


@pytest.fixture(scope="session", autouse=True)
def _ask_git_once() -> Iterator[None]:
    """The revision cannot change while the suite runs; asking for it would be most of a small run's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "git_revision", functools.cache(identity.git_revision))
        yield
