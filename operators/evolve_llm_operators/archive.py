"""MAP-Elites: the population as an archive of elites, one in each cell, through pyribs."""

from __future__ import annotations

import importlib
import importlib.util
import math
import random
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.decorators import replacement
from evolve_llm.scheme.preset import Preset

LENGTHS = (512, 1024, 2048, 4096)
"""Upper edges of the length bins in tokens of the chain itself; what is longer is in a last bin of its own."""

MISSING = "the replacement 'archive' needs pyribs: pip install 'evolve-llm[archive]'"


def _installed(_: Preset, *, lengths: Sequence[float] = LENGTHS) -> None:
    _check_edges(lengths)
    if importlib.util.find_spec("ribs") is None:  # importing it takes a while
        raise UserError(MISSING)


@replacement(needs_fitness=True, varies_size=True, requires=_installed)
def archive(
    parents: Sequence[Candidate],
    offspring: Sequence[Candidate],
    n: int,  # noqa: ARG001
    *,
    lengths: Sequence[float] = LENGTHS,
) -> list[Candidate]:
    """The fittest candidate of each cell: a cell is a class of equivalent answers and a bin of chain lengths.

    The parents are the elites so far, so the archive is built anew from them and the offspring at each
    generation, and nothing has to be remembered in between. A cell's elite gives way only to a candidate
    that is at least as fit; which of several equally fit ones stays is drawn at random, wherever they stood.
    Chains without an answer are one class. Members keep their order, parents first; failed ones are left out.

    Source: Mouret and Clune, Illuminating search spaces by mapping elites, arXiv 1504.04909; the archive is
    pyribs' GridArchive, and ``lengths`` are the upper edges of the bins, in tokens.
    """
    _check_edges(lengths)
    everyone = [*parents, *offspring]
    live = [place for place, one in enumerate(everyone) if one.fitness.valid and not one.failed]
    if not live:
        return [one for one in everyone if not one.failed] or everyone
    random.shuffle(live)  # of equals, pyribs keeps the first of a batch
    classes = {name: index for index, name in enumerate(sorted({_class(everyone[place]) for place in live}))}
    ranks = {
        values: rank
        for rank, values in enumerate(sorted({everyone[place].fitness.wvalues for place in live}))
    }
    dims = (len(classes), len(lengths) + 1)
    grid = _ribs().GridArchive(
        solution_dim=1, dims=dims, ranges=[(-0.5, size - 0.5) for size in dims], seed=0
    )
    grid.add(
        [[place] for place in live],
        [ranks[everyone[place].fitness.wvalues] for place in live],
        [
            [classes[_class(everyone[place])], bisect_left(lengths, everyone[place].text_tokens)]
            for place in live
        ],
    )
    return [everyone[place] for place in sorted(round(one[0]) for one in grid.data("solution"))]


def _class(one: Candidate) -> tuple[bool, str]:
    return one.answer_class is not None, one.answer_class or ""


def _check_edges(lengths: Sequence[float]) -> None:
    if not all(math.isfinite(edge) for edge in lengths) or list(lengths) != sorted(set(lengths)):
        raise ValueError(f"lengths must be finite and increasing, got {list(lengths)}")


def _ribs() -> Any:
    try:
        return importlib.import_module("ribs.archives")
    except ImportError as error:
        raise UserError(f"{MISSING} ({error})") from error
