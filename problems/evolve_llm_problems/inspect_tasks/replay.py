"""Inspect scores a text as if its own model had written it."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Iterator
from typing import Any

from evolve_llm_problems.inspect_tasks.loading import load_task, sample_digest, scorer_of


class ReplayError(Exception):
    """The scorer, or what stands around it, failed. Says nothing about the answer."""


class Replay:
    """One task, loaded once, by whose samples any number of texts are scored."""

    def __init__(self, spec: str, arguments: dict[str, Any]) -> None:
        """Raises UserError as ``load_task`` does."""
        self.task = load_task(spec, arguments)
        self.warmed = False
        """Whether Inspect has scored in this process."""
        self._samples = {sample_digest(one): one for one in self.task.dataset}

    def has_choices(self, digest: str) -> bool:
        """Whether a sample is a question with choices."""
        return digest in self._samples and bool(self._samples[digest].choices)

    def score(self, digest: str, text: str, *, scorer: str | None = None, judge: str | None = None) -> Any:
        """Inspect's ``Score`` of a text as the completion for a sample.

        A question with choices goes through ``multiple_choice``, since its scorer reads what that solver marks.
        ``judge`` is the model for scorers that ask one; without it such a scorer fails.

        Raises ReplayError where the sample is not in the task, and where the scorer fails.
        """
        import inspect_ai
        from inspect_ai.dataset import MemoryDataset
        from inspect_ai.solver import multiple_choice

        if digest not in self._samples:
            raise ReplayError(
                "the task no longer holds this sample: it has changed since the problems were read"
            )
        sample = copy.deepcopy(self._samples[digest])
        sample.id = "replayed"
        solver = multiple_choice() if sample.choices else _placing(text)
        with _logging_kept():
            (log,) = inspect_ai.eval(
                inspect_ai.Task(
                    dataset=MemoryDataset([sample]),
                    solver=solver,
                    scorer=scorer_of(self.task, scorer),
                    name="replay",
                ),
                model=_model(text if sample.choices else None),
                model_roles={"grader": judge} if judge else None,
                display="log",
                log_dir="memory://evolve-llm",
                log_level="error",
                log_level_transcript="error",
                log_realtime=False,
                score_display=False,
                fail_on_error=False,
            )
        (done,) = log.samples or [None]
        failure = log.error or (done and done.error)
        if failure or done is None or not done.scores:
            raise ReplayError(f"the scorer failed: {failure.message if failure else 'it gave no score'}")
        return next(iter(done.scores.values()))


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """Inspect sets the level of the root logger, and would keep everybody's warnings from being seen ever after."""
    level = logging.root.level
    try:
        yield
    finally:
        logging.root.setLevel(level)


def _placing(text: str) -> Any:
    """A solver that puts a text where the model's reply would stand, and asks nobody."""
    from inspect_ai.solver import Generate, TaskState, solver

    @solver  # type: ignore[untyped-decorator]
    def placed() -> Any:
        async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001 - Inspect's signature
            state.output = _output(text)
            state.messages.append(state.output.message)
            return state

        return solve

    return placed()


def _model(text: str | None) -> Any:
    """A model that says the text once and nothing after it, so that a scorer that asks it fails and is not answered."""
    from inspect_ai.model import get_model

    return get_model("mockllm/model", custom_outputs=[] if text is None else [_output(text)], memoize=False)


def _output(text: str) -> Any:
    """A model's output with its usage, without which the tokens would be counted by a tokenizer from the network."""
    from inspect_ai.model import ModelOutput, ModelUsage

    output = ModelOutput.from_content("mockllm/model", text)
    output.usage = ModelUsage(input_tokens=0, output_tokens=0, total_tokens=0)
    return output
