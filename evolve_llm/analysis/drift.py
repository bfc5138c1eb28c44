"""A drift-selection model of RSA: from p(child right | r of K parents right) to the whole curve, before paying for it.

The state of a population is m, the number of its right members. With parents drawn uniformly without replacement, a
child has r right parents with the hypergeometric probability of drawing r from m of N; it is right with probability
p(r). Children are independent given the population, so the next m is binomial, and the chain over m is exact: no
simulation. This is a Wright-Fisher model (Wright 1931, Genetics 16) in which p(r) takes the place of selection.

What is fitted, by empirical Bayes: for each r the Beta distribution of p(r) over problems, the likeliest of a grid
under the counts (a beta-binomial, so that a problem with many children is still one problem), likewise that of the
chance that a first chain is right; and from them what is known of each problem. The chain is computed for `ABILITIES`
quantiles of that knowledge, the same for every r, and averaged: a curve that saturates is not the curve of the mean p.
What is assumed: that a chain is right or wrong and nothing between, that p depends on the problem and on the number
of right parents alone, not on their places or on the generation, and that a problem that is easy for one r is easy for
all.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evolve_llm.analysis.credit import Child, read_children
from evolve_llm.analysis.run import Run
from evolve_llm.analysis.stats import Interval, mean_interval
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.verdict import Grade

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ABILITIES = 12
"""How many quantiles stand for what is not known of a problem."""

MEANS = tuple(1 / (1 + math.exp(-x / 5)) for x in range(-30, 31))
STRENGTHS = (0.3, 0.6, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 200.0, 1000.0)
"""The grid for a Beta distribution: its mean, and how many children it counts for in what is known of a problem."""

Beta = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Start:
    """Generation 0 of one problem: ``right`` of ``graded`` chains."""

    problem: str
    right: int
    graded: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a chain costs, in tokens: the prompt without parents, each parent more, and the completion."""

    prompt: float
    parent: float
    completion: float

    def spent(self, n: int, k: int, t: int) -> float:
        """Tokens of one problem over t generations, the first of which has no parents."""
        later = self.prompt + (k * self.parent) + self.completion
        return n * (self.prompt + self.completion) + n * (t - 1) * later


@dataclass(frozen=True, slots=True)
class Model:
    """The fitted model: for each problem what is known of its first chains, and of p by (K, r)."""

    starts: tuple[Start, ...]
    first: tuple[Beta, ...]
    curves: tuple[Mapping[tuple[int, int], Beta], ...]
    tokens: Tokens

    @property
    def parents(self) -> frozenset[int]:
        """Every K that was measured."""
        return frozenset(k for k, _ in self.curves[0])


@dataclass(frozen=True, slots=True)
class Prediction:
    """Expected pass@1 by generation for N, K and T, each with a 95 % interval, and the tokens of one problem.

    ``measured_parents``: whether the fitted runs had this K.
    """

    n: int
    k: int
    t: int
    pass_1: tuple[float, ...]
    intervals: tuple[Interval, ...]
    tokens: float
    measured_parents: bool


def fit(runs: Sequence[Run]) -> Model:
    """The model of these runs. Raises UserError where nothing in them is graded, or nobody has parents."""
    children, _ = read_children(runs)
    starts = [one for run in runs for one in _starts(run)]
    if not children or not starts:
        raise UserError(
            "nothing can be predicted from these runs: they need problems with references, and generations with parents"
        )
    return fitted(children, _joined(starts), _tokens(runs))


def fitted(children: Sequence[Child], starts: Sequence[Start], tokens: Tokens) -> Model:
    """The model of these children and first generations."""
    own: dict[str, list[Child]] = defaultdict(list)
    for one in children:
        own[one.problem].append(one)
    counts = [_counts(own[one.problem]) for one in starts]
    priors = {
        key: _prior([each[key] for each in counts if key in each])
        for key in sorted({key for each in counts for key in each})
    }
    curves = tuple(
        {key: _posterior(prior, *each.get(key, (0, 0))) for key, prior in priors.items()} for each in counts
    )
    prior = _prior([(one.right, one.graded) for one in starts])
    first = tuple(_posterior(prior, one.right, one.graded) for one in starts)
    return Model(tuple(starts), first, curves, tokens)


def predict(model: Model, n: int, k: int, t: int) -> Floats:
    """Expected pass@1 of each problem (rows) in generations 0 to t - 1. Raises UserError for k > n.

    Where the model knows no such K, p is read off the nearest one at the same share of right parents, linearly
    between its points: a guess that only a run with that K can check.
    """
    if not 1 <= k <= n or t < 1:
        raise UserError(f"predicting needs 1 <= K <= N and T >= 1, got N={n}, K={k}, T={t}")
    from scipy import stats

    members = np.arange(n + 1) / n
    found: Floats = np.zeros((len(model.starts), t))
    for place, (first, known) in enumerate(zip(model.first, model.curves, strict=True)):
        chances = _quantiles(_read(known, k))  # [ability, r]
        state: Floats = np.asarray(stats.binom.pmf(np.arange(n + 1), n, _quantiles([first])))  # [ability, m]
        step = transition(chances, n)
        for generation in range(t):
            found[place, generation] = float((state @ members).mean())
            state = (state[:, None, :] @ step)[:, 0]
    return found


def transition(chances: Sequence[float] | Floats, n: int) -> Floats:
    """P[m, m']: from m right members of n to m', where ``chances[r]`` is p(r) and K = len(chances) - 1.

    With rows of chances a matrix for each: [row, m, m'].
    """
    from scipy import special

    given = np.asarray(chances, dtype=float)
    right = np.clip(given @ _drawn(n, given.shape[-1] - 1).T, 1e-15, 1 - 1e-15)[..., None]
    m = np.arange(n + 1)
    ways = special.gammaln(n + 1) - special.gammaln(m + 1) - special.gammaln(n - m + 1)
    found: Floats = np.exp(ways + m * np.log(right) + (n - m) * np.log1p(-right))
    return found


def predictions(model: Model, settings: Sequence[tuple[int, int, int]]) -> list[Prediction]:
    """The expected curves of several (N, K, T), their intervals over problems: what other problems of the kind give."""
    found = []
    for n, k, t in settings:
        each = predict(model, n, k, t)
        intervals = [mean_interval([float(one) for one in column]) or (0.0, 1.0) for column in each.T]
        means = tuple(float(one) for one in each.mean(axis=0))
        found.append(
            Prediction(n, k, t, means, tuple(intervals), model.tokens.spent(n, k, t), k in model.parents)
        )
    return found


def best_settings(model: Model, budget: float, *, shown: int = 5) -> list[tuple[int, int, int, float, float]]:
    """(N, K, T, expected pass@1 at the end, tokens) of the best settings within ``budget`` tokens a problem.

    N is 2 to 64 by doubling, K 1 to 8, T at most 20; of settings that end alike the cheaper ones come first.
    """
    found = []
    for n, k in itertools.product((2, 4, 8, 16, 32, 64), (1, 2, 3, 4, 6, 8)):
        affordable = [t for t in range(2, 21) if model.tokens.spent(n, k, t) <= budget]
        if k > n or not affordable:
            continue
        expected = [float(one) for one in predict(model, n, k, affordable[-1]).mean(axis=0)]
        found += [(n, k, t, expected[t - 1], model.tokens.spent(n, k, t)) for t in affordable]
    found.sort(key=lambda one: (-round(one[3], 3), one[4]))
    return found[:shown]


# ------------------------------------------------------------------ pieces


def _counts(children: Sequence[Child]) -> dict[tuple[int, int], tuple[int, int]]:
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for one in children:
        right, count = found.get((len(one.parents), one.right_parents), (0, 0))
        found[len(one.parents), one.right_parents] = right + one.right, count + 1
    return found


def _read(known: Mapping[tuple[int, int], Beta], k: int) -> list[Beta]:
    """The Beta distributions of p(0) to p(k); between the points of another K mean and strength are interpolated."""
    sizes = {size for size, _ in known}
    nearest = k if k in sizes else min(sizes, key=lambda size: (abs(math.log(size / k)), size))
    points = sorted(
        (right / nearest, a / (a + b), a + b) for (size, right), (a, b) in known.items() if size == nearest
    )
    places, means, strengths = zip(*points, strict=True)
    found = []
    for r in range(k + 1):
        mean, strength = (float(np.interp(r / k, places, values)) for values in (means, strengths))
        found.append((mean * strength, (1 - mean) * strength))
    return found


def _quantiles(known: Sequence[Beta]) -> Floats:
    """[ability, which]: the same quantiles of each distribution."""
    from scipy import special

    a, b = np.array(known).T
    at = (np.arange(ABILITIES)[:, None] + 0.5) / ABILITIES
    found: Floats = np.asarray(special.betaincinv(a, b, at), dtype=float)
    return found


def _prior(counts: Sequence[tuple[int, int]]) -> Beta:
    """The likeliest Beta distribution of the problems' chances, given (right, count) of each."""
    from scipy import special

    right, count = np.array(counts).T
    strengths = np.array(STRENGTHS)[:, None]
    a = np.array(MEANS)[:, None, None] * strengths
    b = strengths - a
    found = (special.betaln(right + a, count - right + b) - special.betaln(a, b)).sum(axis=-1)
    mean, strength = np.unravel_index(int(found.argmax()), found.shape)
    return STRENGTHS[strength] * MEANS[mean], STRENGTHS[strength] * (1 - MEANS[mean])


def _posterior(prior: Beta, right: int, count: int) -> Beta:
    """What is known after ``right`` of ``count``."""
    return prior[0] + right, prior[1] + count - right


@functools.lru_cache(maxsize=64)
def _drawn(n: int, k: int) -> Floats:
    """[m, r]: the probability that r of k parents drawn from n members, m of them right, are right."""
    from scipy import stats

    m, r = np.arange(n + 1)[:, None], np.arange(k + 1)[None, :]
    found: Floats = np.asarray(stats.hypergeom.pmf(r, n, m, k), dtype=float)
    return found


def _starts(run: Run) -> list[Start]:
    found = []
    for problem, populations in run.populations(texts=False):
        if populations:
            graded = [one for one in populations[0].verdicts.values() if one.grade is not Grade.UNGRADED]
            if graded:
                found.append(Start(problem.id, sum(one.correct for one in graded), len(graded)))
    return found


def _joined(starts: Sequence[Start]) -> list[Start]:
    """One Start a problem, of all runs that have it."""
    right: dict[str, int] = defaultdict(int)
    graded: dict[str, int] = defaultdict(int)
    for one in starts:
        right[one.problem] += one.right
        graded[one.problem] += one.graded
    return [Start(problem, right[problem], count) for problem, count in graded.items()]


def _tokens(runs: Sequence[Run]) -> Tokens:
    """Least squares of prompt tokens on the number of parents, and the mean completion."""
    prompts: list[tuple[int, int]] = []
    completions = []
    for run in runs:
        for _, populations in run.populations(texts=False):
            for one in itertools.chain.from_iterable(each.members for each in populations):
                if not one.failed and not one.copied and one.prompt_tokens:
                    prompts.append((len(one.parents), one.prompt_tokens))
                    completions.append(one.completion_tokens)
    if not prompts:
        return Tokens(0.0, 0.0, 0.0)
    parents = np.array([count for count, _ in prompts], dtype=float)
    design = np.stack([np.ones_like(parents), parents], axis=1)
    (base, each), *_ = np.linalg.lstsq(
        design, np.array([tokens for _, tokens in prompts], dtype=float), rcond=None
    )
    return Tokens(max(0.0, float(base)), max(0.0, float(each)), float(np.mean(completions)))


def plain(found: Prediction) -> dict[str, Any]:
    """As ``evolve-llm plan --predict --json`` prints it."""
    return {
        "population": found.n,
        "parents": found.k,
        "generations": found.t,
        "pass@1": list(found.pass_1),
        "intervals": [list(one) for one in found.intervals],
        "tokens_per_problem": round(found.tokens),
        "measured_parents": found.measured_parents,
    }
