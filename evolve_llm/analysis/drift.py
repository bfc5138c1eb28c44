"""A drift-selection model of RSA: from p(child right | r of K parents right) to the whole curve, before paying for it.

The state of a population is m, the number of its right members. With parents drawn uniformly without replacement, a
child has r right parents with the hypergeometric probability of drawing r from m of N; it is right with probability
p(r). Children are independent given the population, so the next m is binomial, and the chain over m is exact: no
simulation. This is a Wright-Fisher model (Wright 1931, Genetics 16) in which p(r) takes the place of selection.

What is fitted: p(r), by kinds of problems (how many of generation 0 were right), each kind drawn towards the run's own
p(r), and for each problem the chance that a first chain is right. What is assumed: that a chain is right or wrong and
nothing between, and that p depends on the parents alone and not on the generation.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evolve_llm.analysis.credit import Child, read_children
from evolve_llm.analysis.run import Run
from evolve_llm.analysis.stats import Interval
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.verdict import Grade

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PSEUDO_CHILDREN = 10.0
"""How many children the run's own p(r) counts for in a kind of problems of which few were seen."""

KINDS = 3
"""Kinds of problems: none right in generation 0, and two halves of the others."""

RESAMPLES = 200


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
    """The fitted model. ``curves[kind]`` maps (K, r) to p; ``starts[kind]`` are its problems."""

    curves: tuple[Mapping[tuple[int, int], float], ...]
    starts: tuple[tuple[Start, ...], ...]
    prior: tuple[float, float]
    tokens: Tokens

    def chance(self, kind: int, k: int, r: int) -> float:
        """p(child right | r of k parents right) for a kind of problems.

        Where the runs had no such K, the curve of the nearest K is read at the same share of right parents, linearly
        between its points: a guess that only a run with that K can check.
        """
        return _read(self.curves[kind], k, r)


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
    kinds = _kinds(starts)
    kind_of = {start.problem: kind for kind, group in enumerate(kinds) for start in group}
    pooled = _counts(children)
    own = [
        _counts([one for one in children if kind_of.get(one.problem) == kind]) for kind in range(len(kinds))
    ]
    whole = {key: right / count for key, (right, count) in pooled.items()}
    curves = tuple(
        {
            key: (counts.get(key, (0, 0))[0] + PSEUDO_CHILDREN * p)
            / (counts.get(key, (0, 0))[1] + PSEUDO_CHILDREN)
            for key, p in whole.items()
        }
        for counts in own
    )
    return Model(curves, kinds, _beta(starts), tokens)


def predict(model: Model, n: int, k: int, t: int) -> tuple[float, ...]:
    """Expected pass@1 of generations 0 to t - 1, a mean over the model's problems. Raises ValueError for k > n."""
    if not 1 <= k <= n or t < 1:
        raise ValueError(f"predicting needs 1 <= K <= N and T >= 1, got N={n}, K={k}, T={t}")
    members = np.arange(n + 1) / n
    totals = np.zeros(t)
    for kind, group in enumerate(model.starts):
        if not group:
            continue
        state = _first(model, group, n)
        step = transition([model.chance(kind, k, r) for r in range(k + 1)], n)
        for generation in range(t):
            totals[generation] += float(state @ members)
            state = state @ step
    return tuple(float(one) for one in totals / sum(map(len, model.starts)))


def transition(chances: Sequence[float], n: int) -> Floats:
    """P[m, m']: from m right members of n to m', where ``chances[r]`` is p(r) and K = len(chances) - 1."""
    from scipy import stats

    k, m = len(chances) - 1, np.arange(n + 1)
    right: Floats = np.zeros(n + 1)
    for r, p in enumerate(chances):
        right += p * stats.hypergeom.pmf(r, n, m, k)
    found: Floats = np.asarray(stats.binom.pmf(m[None, :], n, np.clip(right, 0.0, 1.0)[:, None]), dtype=float)
    return found


def predictions(
    runs: Sequence[Run], settings: Sequence[tuple[int, int, int]], *, seed: int = 0
) -> list[Prediction]:
    """The expected curves of several (N, K, T). Intervals: problems are resampled, and the model is fitted anew."""
    children, _ = read_children(runs)
    model = fit(runs)
    starts = list(itertools.chain.from_iterable(model.starts))
    by_problem: dict[str, list[Child]] = defaultdict(list)
    for one in children:
        by_problem[one.problem].append(one)
    random = np.random.default_rng(seed)
    spread: list[list[tuple[float, ...]]] = [[] for _ in settings]
    for _ in range(RESAMPLES):
        drawn = [starts[place] for place in random.integers(len(starts), size=len(starts))]
        copies = [Start(f"{number}", one.right, one.graded) for number, one in enumerate(drawn)]
        again = [
            _moved(child, f"{number}")
            for number, one in enumerate(drawn)
            for child in by_problem[one.problem]
        ]
        if not again:
            continue
        resampled = fitted(again, copies, model.tokens)
        for place, (n, k, t) in enumerate(settings):
            spread[place].append(predict(resampled, n, k, t))
    known = {key[0] for key in model.curves[0]}
    found = []
    for (n, k, t), drawn_curves in zip(settings, spread, strict=True):
        low, high = np.percentile(np.asarray(drawn_curves), [2.5, 97.5], axis=0)
        intervals = tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))
        pass_1 = predict(model, n, k, t)
        found.append(Prediction(n, k, t, pass_1, intervals, model.tokens.spent(n, k, t), k in known))
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
        expected = predict(model, n, k, affordable[-1])
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


def _kinds(starts: Sequence[Start]) -> tuple[tuple[Start, ...], ...]:
    none = tuple(one for one in starts if not one.right)
    some = sorted((one for one in starts if one.right), key=lambda one: (one.right / one.graded, one.problem))
    half = len(some) // 2
    return (none, tuple(some[:half]), tuple(some[half:]))


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


def _first(model: Model, group: Sequence[Start], n: int) -> Floats:
    """How many problems of a kind begin with m right members of n: each problem's own beta-binomial."""
    from scipy import stats

    a, b = model.prior
    state: Floats = np.zeros(n + 1)
    for (right, graded), count in _tally(group).items():
        state += count * stats.betabinom.pmf(np.arange(n + 1), n, a + right, b + graded - right)
    return state


def _tally(group: Sequence[Start]) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = defaultdict(int)
    for one in group:
        found[one.right, one.graded] += 1
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


def _moved(child: Child, problem: str) -> Child:
    return Child(problem, child.generation, child.operator, child.right, child.parents, child.lengths)


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
