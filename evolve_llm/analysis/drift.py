"""A drift-selection model of RSA: from p(child right | r of K parents right) to the whole curve, before paying for it.

The state of a population is m, the number of its right members. With parents drawn uniformly without replacement, a
child has r right parents with the hypergeometric probability of drawing r from m of N; it is right with probability
p(r). Children are independent given the population, so the next m is binomial, and the chain over m is exact: no
simulation. This is a Wright-Fisher model (Wright 1931, Genetics 16) in which p(r) takes the place of selection.

What is fitted, by empirical Bayes: for each problem p(r), drawn towards the p(r) of all problems as far as their
differences allow (a beta-binomial whose strength is the likeliest of a grid), and the chance that a first chain is
right. What is assumed: that a chain is right or wrong and nothing between, and that p depends on the problem and on
the number of right parents alone, not on their places or on the generation.
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

STRENGTHS = (2.0, 5.0, 10.0, 20.0, 50.0, 200.0, 1000.0)
"""How many children the curve of all problems may count for in each problem's own."""


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
    """The fitted model: for each problem its first generation, and p by (K, r)."""

    starts: tuple[Start, ...]
    curves: tuple[Mapping[tuple[int, int], float], ...]
    prior: tuple[float, float]
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
    whole = {key: right / count for key, (right, count) in _counts(children).items()}
    counts = [_counts(own[one.problem]) for one in starts]
    strength = _strength(counts, whole)
    curves = tuple(
        {
            key: (each.get(key, (0, 0))[0] + strength * p) / (each.get(key, (0, 0))[1] + strength)
            for key, p in whole.items()
        }
        for each in counts
    )
    return Model(tuple(starts), curves, _beta(starts), tokens)


def predict(model: Model, n: int, k: int, t: int) -> Floats:
    """Expected pass@1 of each problem (rows) in generations 0 to t - 1. Raises UserError for k > n.

    Where the model knows no such K, p is read off the nearest one at the same share of right parents, linearly
    between its points: a guess that only a run with that K can check.
    """
    if not 1 <= k <= n or t < 1:
        raise UserError(f"predicting needs 1 <= K <= N and T >= 1, got N={n}, K={k}, T={t}")
    members = np.arange(n + 1) / n
    found: Floats = np.zeros((len(model.starts), t))
    for place, (start, known) in enumerate(zip(model.starts, model.curves, strict=True)):
        state = _first(model.prior, start, n)
        step = transition([_read(known, k, r) for r in range(k + 1)], n)
        for generation in range(t):
            found[place, generation] = state @ members
            state = state @ step
    return found


def transition(chances: Sequence[float], n: int) -> Floats:
    """P[m, m']: from m right members of n to m', where ``chances[r]`` is p(r) and K = len(chances) - 1."""
    from scipy import special

    right = np.clip(_drawn(n, len(chances) - 1) @ np.asarray(chances), 0.0, 1.0)[:, None]
    m = np.arange(n + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = special.binom(n, m) * right**m * (1 - right) ** (n - m)
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


def _read(known: Mapping[tuple[int, int], float], k: int, r: int) -> float:
    if (k, r) in known:
        return known[k, r]
    sizes = {size for size, _ in known}
    nearest = k if k in sizes else min(sizes, key=lambda size: (abs(math.log(size / k)), size))
    points = sorted((right / nearest, p) for (size, right), p in known.items() if size == nearest)
    return float(np.interp(r / k, [x for x, _ in points], [p for _, p in points]))


def _strength(
    counts: Sequence[Mapping[tuple[int, int], tuple[int, int]]], whole: Mapping[tuple[int, int], float]
) -> float:
    """How far problems are alike: the likeliest strength of a beta distribution about the common curve."""
    from scipy import stats

    def likelihood(strength: float) -> float:
        total = 0.0
        for each in counts:
            for key, (right, count) in each.items():
                p = min(max(whole[key], 1e-4), 1 - 1e-4)
                total += float(stats.betabinom.logpmf(right, count, strength * p, strength * (1 - p)))
        return total

    return max(STRENGTHS, key=likelihood)


@functools.lru_cache(maxsize=64)
def _drawn(n: int, k: int) -> Floats:
    """[m, r]: the probability that r of k parents drawn from n members, m of them right, are right."""
    from scipy import stats

    m, r = np.arange(n + 1)[:, None], np.arange(k + 1)[None, :]
    found: Floats = np.asarray(stats.hypergeom.pmf(r, n, m, k), dtype=float)
    return found


def _beta(starts: Sequence[Start]) -> tuple[float, float]:
    """The Beta distribution of the problems' chances, by moments (Kleinman 1973, JASA 68)."""
    n = np.array([one.graded for one in starts], dtype=float)
    shares = np.array([one.right for one in starts]) / n
    mean, size = float(shares.mean()), float(n.mean())
    if not 0 < mean < 1 or size <= 1:
        return 0.5 + mean, 0.5 + (1 - mean)
    variance = max(float(shares.var()), 1e-9)
    within = mean * (1 - mean)
    between = min(max((variance - within / size) / (1 - 1 / size), 1e-3 * within), 0.999 * within)
    strength = within / between - 1
    return mean * strength, (1 - mean) * strength


def _first(prior: tuple[float, float], start: Start, n: int) -> Floats:
    """The distribution of the right members of n in generation 0, given those that were seen."""
    from scipy import stats

    a, b = prior
    found: Floats = np.asarray(
        stats.betabinom.pmf(np.arange(n + 1), n, a + start.right, b + start.graded - start.right), dtype=float
    )
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
