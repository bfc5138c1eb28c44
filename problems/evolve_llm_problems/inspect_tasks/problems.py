"""``inspect:FILE_OR_MODULE[@TASK]``: a problem for each sample of an Inspect task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm_problems.chats import read_chat
from evolve_llm_problems.choices.listing import LETTERS
from evolve_llm_problems.columns import names
from evolve_llm_problems.inspect_tasks.loading import load_task, sample_digest, scorer_name, scorer_of

MODEL_GRADED = ("model_graded_qa", "model_graded_fact")


def load(
    argument: str,
    *,
    scorer: str | None = None,
    score: str | None = None,
    judge: str | None = None,
    format: str | None = None,
    completion: str = "{answer}",
    metadata: str | None = None,
    prefix: str | None = None,
    **config: Any,
) -> Iterator[Problem]:
    """The samples of an Inspect task, graded by its own scorer.

    ``scorer`` names one where the task has several (the first unless given), ``score`` the entry of a score that is a
    mapping. ``judge`` is the model, as Inspect names it, that a model-graded scorer asks. ``format`` is how an answer
    is taken from a chain: the whole chain unless given, the option of a question with choices. The scorer then sees
    ``completion`` with the answer put in. ``metadata`` names entries of the samples' metadata to keep, joined by
    commas. All other options are the task's own.

    Raises UserError for a task that cannot be loaded or replayed (see ``load_task``).
    """
    if not argument:
        raise UserError("the problem set inspect needs a task, for example inspect:tasks.py@arithmetic")
    if completion.count("{answer}") != 1:
        raise UserError(f"completion must hold {{answer}} once, got {completion!r}")
    task = load_task(argument, config)
    chosen = scorer_of(task, scorer)
    called = scorer_name(chosen)
    if called in MODEL_GRADED and judge is None:
        raise UserError(
            f"the scorer {called} of {argument} asks a model; name one as Inspect does, with its key in the "
            "environment: ?judge=openai/NAME"
        )
    place, at, name = argument.partition("@")
    where = str(Path(place).expanduser().resolve()) if Path(place).expanduser().is_file() else place
    for number, sample in enumerate(task.dataset, 1):
        yield _problem(
            sample,
            id=f"{prefix or task.name}/{number if sample.id is None else sample.id}",
            form=format or ("option" if sample.choices else "text"),
            keep=names(metadata),
            reference={
                "task": f"{where}{at}{name}",
                "arguments": config,
                "sample": sample_digest(sample),
                "target": sample.target,
                "scorer": called,
                "score": score,
                "judge": judge,
                "completion": completion,
            },
        )


def _problem(sample: Any, *, id: str, form: str, keep: tuple[str, ...], reference: dict[str, Any]) -> Problem:
    question = _question(sample, id)
    if sample.choices:
        if len(sample.choices) > len(LETTERS):
            raise UserError(
                f"{id} has {len(sample.choices)} choices, but there are only {len(LETTERS)} letters"
            )
        if isinstance(sample.target, list) and len(sample.target) > 1 and form == "option":
            raise UserError(
                f"{id} has several right choices; add ?format=text, and chains must end with ANSWER: A,B"
            )
        listed = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, sample.choices, strict=False))
        question = f"{question.rstrip()}\n\n{listed}"
    known = sample.metadata or {}
    return Problem(
        id=id,
        question=question,
        format=form,
        grader="inspect",
        reference=reference,
        metadata={key: str(known[key]) for key in keep if key in known},
    )


def _question(sample: Any, id: str) -> str:
    if isinstance(sample.input, str):
        return sample.input
    messages = []
    for message in sample.input:
        content = message.content
        if not isinstance(content, str):
            kinds = {part.type for part in content}
            if kinds != {"text"}:
                raise UserError(
                    f"{id} holds {', '.join(sorted(kinds - {'text'}))} beside text, which is not replayed"
                )
            content = "\n".join(part.text for part in content)
        messages.append({"role": message.role, "content": content})
    return read_chat(messages, id).question
