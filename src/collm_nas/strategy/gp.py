"""Bayesian optimisation with a Gaussian process and an upper confidence bound.

GP-UCB (Srinivas et al., 2010, https://arxiv.org/abs/0912.3995) on one-hot genes, whose distance
counts the genes that differ; the kernel is the roughest Matérn, since one gene can change much.
The process models the normal scores of the ranks: accuracies have a long tail of failed networks
that would drown what matters, the order at the top.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive, Record
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Problem
from collm_nas.core.ranges import Count, NotNegative, Seed
from collm_nas.core.strategy import Batch, round_rng
from collm_nas.spaces.encoding import Features, one_hot
from collm_nas.strategy.rejection_sampling import SMALL, rejection_sample

ELITE = 10  # how many of the best are mutated where a space is too large to list
MUTANTS = SAMPLES = 500  # candidates there, per round


@checked
class GaussianProcess:
    """Propose the candidates with the highest upper confidence bound.

    The candidates are the whole space if it can be listed, else mutants of the best and samples.

    Args:
        initial: uniform samples to begin with.
        exploration: standard deviations above the mean at which the bound lies.
        batch_size: candidates per round, for each of which the process is not fitted anew.
    """

    def __init__(
        self,
        problem: Problem,
        seed: Seed,
        initial: Count,
        exploration: NotNegative,
        batch_size: Count,
    ) -> None:
        self.problem = problem
        self.seed = seed
        self.initial = initial
        self.exploration = exploration
        self.batch_size = batch_size
        space = problem.space
        self.listed = list(space.architectures()) if space.size() <= SMALL else []
        self.listed_features = one_hot(space.variables, self.listed)

    def propose(self, archive: Archive) -> Batch:
        rng = round_rng(self.seed, archive)
        tried = archive.feasible()
        if (missing := self.initial - len(tried)) > 0:
            return Batch.of(
                *rejection_sample(self.problem, archive, rng, [self.problem.sample] * missing)
            )
        candidates, features = self._candidates(archive, rng)
        bounds = self._upper_bounds(tried, archive, features)
        best_first = (candidates[i] for i in np.argsort(-bounds, kind="stable"))
        new = (a for a in best_first if a not in archive.seen and self.problem.is_feasible(a))
        return Batch.of(*islice(new, self.batch_size))

    def _candidates(
        self, archive: Archive, rng: random.Random
    ) -> tuple[list[Architecture], Features]:
        if self.listed:
            return self.listed, self.listed_features
        elite = [r.arch for r in archive.top(ELITE) if r.arch is not None]

        def mutant(rng: random.Random) -> Architecture:
            return self.problem.space.mutate_one(rng.choice(elite), rng)

        draws = [mutant] * MUTANTS + [self.problem.sample] * SAMPLES
        candidates = rejection_sample(self.problem, archive, rng, draws)
        return candidates, one_hot(self.problem.space.variables, candidates)

    def _upper_bounds(
        self, tried: Sequence[Record], archive: Archive, features: Features
    ) -> NDArray[np.float64]:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        archs = [r.arch for r in tried if r.arch is not None]
        features_tried = one_hot(self.problem.space.variables, archs)
        scores = normal_scores([archive.score(r) for r in tried])
        with threadpool_limits(1):  # small matrices: faster, and sums keep their order
            mean, sd = _fit(features_tried, scores).predict(features, return_std=True)
        bounds: NDArray[np.float64] = mean + self.exploration * sd
        return bounds


def normal_scores(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the standard normal quantiles of the ranks of `values`; equals share a rank."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    scores: NDArray[np.float64] = ndtri((rankdata(values) - 0.5) / len(values))
    return scores


def _fit(features: Features, targets: NDArray[np.float64]) -> Any:
    # here: a search without a Gaussian process need not wait for this import
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    signal = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(2.0, (0.1, 1e2), nu=0.5)
    noise = WhiteKernel(0.05, (1e-4, 2.0))
    with warnings.catch_warnings():
        # a parameter may well end at its bound: noiseless tables, few architectures
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianProcessRegressor(signal + noise).fit(features, targets)
