"""From a finished run of a reference model to a training set of standard and aggregation prompts, half and half."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from evolve_llm.backends.base import Backend, make_backend
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.seeding import derive
from evolve_llm.scheme.problem_sets import load_problems
from evolve_llm.train.card import card
from evolve_llm.train.groups import PURPOSE, Drawing, shares
from evolve_llm.train.prompts import Prompter, Shown, aggregation_of, leak, scheme_of
from evolve_llm.train.rows import Kind, Row
from evolve_llm.train.source import Source, Told
from evolve_llm.train.split import refuse_overlap, split


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training set is made by, besides the run.

    Attributes:
        drawing: Who stands in aggregation prompts; K is the preset's where ``ks`` is empty.
        rows: Training rows wanted, an even number; None for two a training problem, or as many as can be had.
        most: Aggregation prompts of one problem, at most.
        test_share: The share of the problems that is kept for testing.
        tests: Runs or problem sets none of whose problems may be trained on.
        seed: The seed of every draw.
        preset: Where the prompts are to be another preset's than the run's.
        prompts: The folder of templates that the run was given, if any.
        model: The run's model, opened to count tokens; None to estimate them.
    """

    drawing: Drawing = field(default_factory=lambda: Drawing(ks=()))
    rows: int | None = None
    most: int = 8
    test_share: float = 0.1
    tests: tuple[str, ...] = ()
    seed: int = 0
    preset: str | None = None
    prompts: Path | None = None
    model: str | Backend | None = None

    def check(self) -> None:
        """Raises UserError for numbers that cannot be."""
        if self.rows is not None and (self.rows < 2 or self.rows % 2):
            raise UserError(
                f"--rows must be an even number from 2 on (half of the rows are standard prompts), got {self.rows}"
            )
        if self.most < 1:
            raise UserError(f"--most must be at least 1, got {self.most}")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"the seed must be in 0 ... 2**63 - 1, got {self.seed}")


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Rows for training and for testing, a standard and an aggregation row in turn, and the data card."""

    train: tuple[Row, ...]
    test: tuple[Row, ...]
    card: dict[str, Any]


def training_set(run: str | Path, recipe: Recipe | None = None) -> TrainingSet:
    """Make a training set from a finished run. The same run, recipe and version give the same rows.

    Raises:
        UserError: The run is not finished or has no references; there are too few groups; a prompt does not fit the
            window, is not the run's own, or holds a reference; or a problem is also a test problem.
        StoreError: The run is damaged.
        BackendError: The model that counts tokens cannot be opened.
    """
    chosen = recipe or Recipe()
    chosen.check()
    return asyncio.run(_made(Source(run), chosen))


async def _made(source: Source, recipe: Recipe) -> TrainingSet:
    scheme = scheme_of(source, recipe.preset, recipe.prompts)
    aggregate = aggregation_of(scheme)
    backend = make_backend(recipe.model) if isinstance(recipe.model, str) else recipe.model
    if backend is not None and backend.identity != source.config["model"]:
        raise UserError(
            f"the run was made by {source.config['model']!r}, but --model is {backend.identity!r}; "
            "its tokens are others"
        )
    drawing = recipe.drawing
    if not drawing.ks:
        drawing = Drawing(drawing.generations, (scheme.preset.parents,), drawing.keep)
    try:
        info = None if backend is None else await backend.start()
        window = source.window if info is None else info.context_length
        prompter = Prompter(scheme, aggregate, recipe.seed, window, backend)
        drawing.check(source.config["preset"]["population"], source.generations, prompter.takes)
        train, test = split(source.problems, recipe.test_share)
        refuse_overlap(train, {name: problems_of(name) for name in recipe.tests})
        maker = _Maker(source, prompter, drawing, recipe)
        rows = {
            "train": await maker.rows(train, recipe.rows),
            "test": await maker.rows(test, None, may_be_empty=True),
        }
    finally:
        if backend is not None:
            await backend.close()
    described = card(source, rows, {"train": train, "test": test}, _settings(recipe, drawing, prompter))
    described["preset"] = scheme.preset.plain()
    described["checked"] = {"prompts_equal_to_the_run": maker.verified, "test_sets": list(recipe.tests)}
    described["left_out"] = {
        "problems_without_reference": source.without_reference,
        "candidates_failed_or_ungraded": maker.left_out,
        "groups_that_ask_nothing": maker.silent,
    }
    return TrainingSet(rows["train"], rows["test"], described)


def problems_of(name: str) -> list[Problem]:
    """The problems of a run directory, or of a problem set by its SPEC."""
    if (Path(name) / "run.json").is_file():
        from evolve_llm.analysis.run import Run

        return Run(name).problems()
    return load_problems(name)


def _settings(recipe: Recipe, drawing: Drawing, prompter: Prompter) -> dict[str, Any]:
    return {
        "generations": list(drawing.generations),
        "k": list(drawing.ks),
        "filter": drawing.keep,
        "rows": recipe.rows,
        "most": recipe.most,
        "test_share": recipe.test_share,
        "seed": recipe.seed,
        "preset": prompter.scheme.preset.name,
        "max_tokens": prompter.max_tokens,
        "window": prompter.window,
        "tokens": "estimated" if prompter.backend is None else "counted",
    }


class _Maker:
    """Makes the rows of one side of the split, reading one problem at a time."""

    def __init__(self, source: Source, prompter: Prompter, drawing: Drawing, recipe: Recipe) -> None:
        self.source, self.prompter, self.drawing, self.recipe = source, prompter, drawing, recipe
        self.verified = self.left_out = self.silent = 0

    async def rows(
        self, problems: Sequence[Problem], wanted: int | None, *, may_be_empty: bool = False
    ) -> tuple[Row, ...]:
        """Standard and aggregation rows in turn, each kind in an order drawn from the seed."""
        usable = [
            told.problem.id for told in self.source.told(problems, texts=False) if self.drawing.ways(told)
        ]
        if may_be_empty and not usable:
            return ()
        most = self.recipe.most
        groups = max(1, min(len(problems), most * len(usable))) if wanted is None else wanted // 2
        counts = shares(groups, usable, most, self.recipe.seed, len(problems))
        standard: list[Row] = []
        aggregation: list[Row] = []
        for told in self.source.told(problems, texts=True):
            self.verified += await self.prompter.verify(told)
            members = {uid for generation in self._generations(told) for uid in told.members[generation]}
            self.left_out += sum(uid not in told.right for uid in members)
            own_words = self.prompter.own_words(told.problem)
            shown = await self.prompter.standard(told.problem)
            standard.append(self._row("standard", told, shown, None, own_words))
            for number in range(counts.get(told.problem.id, 0)):
                row = await self._aggregation(told, number, own_words)
                if row is not None:
                    aggregation.append(row)
        return self._in_turn(standard, aggregation)

    def _generations(self, told: Told) -> list[int]:
        return [one for one in self.drawing.generations if one < len(told.members)]

    async def _aggregation(self, told: Told, number: int, own_words: str) -> Row | None:
        group = self.drawing.draw(told, number, self.recipe.seed)
        parents = [told.born[uid] for uid in group.parents]
        shown = await self.prompter.group(told.problem, parents, (group.generation, number))
        if shown is None:
            self.silent += 1
            return None
        return self._row("aggregation", told, shown, group.generation, own_words)

    def _row(self, kind: Kind, told: Told, shown: Shown, generation: int | None, own_words: str) -> Row:
        right = tuple(told.right[uid] for uid in shown.parents)
        texts = [text for uid in shown.parents for text in (told.born[uid].text, told.born[uid].reasoning)]
        found = leak(shown.prompt, told.problem, texts, own_words)
        if found is not None:
            raise UserError(
                f"the {kind} prompt of problem {told.problem.id!r} holds its reference ({found[:60]!r}) outside of the "
                "question and the candidates; take it out of the problem's metadata, or out of the templates"
            )
        return Row(kind, told.problem, shown.prompt, shown.tokens, generation, shown.parents, right)

    def _in_turn(self, standard: list[Row], aggregation: list[Row]) -> tuple[Row, ...]:
        """As many standard rows as aggregation rows, problem after problem, the two kinds in turn."""
        for kind, rows in (("standard", standard), ("aggregation", aggregation)):
            Random(derive(self.recipe.seed, "", 0, 0, f"{PURPOSE} {kind}")).shuffle(rows)
        pairs = zip(itertools.cycle(standard), aggregation, strict=False)
        return tuple(row for pair in pairs for row in pair)
