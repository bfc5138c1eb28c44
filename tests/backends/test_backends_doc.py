"""docs/backends.md says what is so: its example runs, and it names every option."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from asking import ask, run, use

from evolve_llm.backends.base import Backend
from evolve_llm.backends.llama_cpp.backend import LlamaCppOptions
from evolve_llm.backends.openai.backend import OpenAIOptions
from evolve_llm.backends.options import Options
from evolve_llm.backends.recorded import RecordedOptions
from evolve_llm.backends.scripted import ScriptedOptions
from evolve_llm.nouns.errors import RequestError, UserError
from evolve_llm.nouns.request import Completion

DOC = (Path(__file__).parents[2] / "docs" / "backends.md").read_text()
BLOCKS = re.findall(r"```python[^\n]*\n(.*?)```", DOC, re.DOTALL)


def defined(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {"RequestError": RequestError}
    exec(block, names)
    return names


def test_the_backend_of_the_documentation_is_one() -> None:
    (example,) = (block for block in BLOCKS if "class Parrot" in block)
    names = defined(example)
    backend = names["parrot"]()
    assert isinstance(backend, Backend)
    assert run(use(backend, ask("hello")))[0].text == "hello"
    with pytest.raises(UserError, match="wings"):
        names["parrot"](wings=2)


def test_the_scripted_model_of_the_documentation_works() -> None:
    (example,) = (block for block in BLOCKS if "Scripted(respond" in block)
    model = defined(example)["model"]
    got = run(use(model, ask("sum", seed=1), ask("sum", seed=10), ask("impossible")))
    assert [type(one) for one in got] == [Completion, Completion, RequestError]
    assert (model.retries, model.call_count, len(model.calls)) == (2, 3, 3)


@pytest.mark.parametrize("options", [LlamaCppOptions, OpenAIOptions, ScriptedOptions, RecordedOptions])
def test_every_option_is_documented(options: type[Options]) -> None:
    for name, field in options.model_fields.items():
        assert re.search(rf"`{name}`|engine\.{name}=", DOC), (
            f"{options.__name__}.{name} is not in the documentation"
        )
        assert field.description
