"""REINFORCE (Williams, 1992, https://doi.org/10.1007/BF00992696) on one softmax per gene.

The settings are those of NATS-Bench (Dong et al., 2021, https://arxiv.org/abs/2009.00437): Adam,
and a moving average of the rewards as baseline. The policy is not stored: it follows from the
archive, over which all updates are repeated.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collm_nas.core.architecture import Architecture, Value
from collm_nas.core.archive import Archive, Round
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Problem
from collm_nas.core.ranges import Count, Positive, Seed, Share
from collm_nas.core.strategy import Batch, Fold, round_rng
from collm_nas.spaces.encoding import INACTIVE, gene_variables, option_indices
from collm_nas.strategy.rejection_sampling import rejection_sample

Matrix = NDArray[np.float64]  # (genes, options); a gene with fewer options is padded

INITIAL_SD = 1e-3  # of the logits
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's (Kingma & Ba, 2015)


@dataclass(frozen=True)
class Policy:
    """The logits after so many updates, and what the next one needs: Adam's means, the baseline."""

    logits: Matrix
    mean: Matrix
    square: Matrix
    baseline: float = 0.0
    updates: int = 0


@checked
class Reinforce:
    """Sample from a policy that is updated after every evaluation.

    Args:
        learning_rate: of Adam.
        baseline_decay: share of the old value in each update of the baseline.
        batch_size: samples per round; 1 is the original.
    """

    def __init__(
        self,
        problem: Problem,
        seed: Seed,
        learning_rate: Positive,
        baseline_decay: Share,
        batch_size: Count,
    ) -> None:
        self.problem = problem
        self.seed = seed
        self.learning_rate = learning_rate
        self.baseline_decay = baseline_decay
        self.batch_size = batch_size
        logits = self._initial_logits()
        zeros = np.zeros_like(logits)
        self._policy = Fold(Policy(logits, zeros, zeros), self._updated)

    def propose(self, archive: Archive) -> Batch:
        policy = _softmax(self.logits(archive)).tolist()
        space = self.problem.space

        def sample(rng: random.Random) -> Architecture:
            rows = iter(policy)
            drawn: dict[str, list[Value]] = {
                v.name: [
                    rng.choices(v.options, next(rows)[: len(v.options)])[0] for _ in range(v.count)
                ]
                for v in space.variables
            }
            return space.build(drawn)

        rng = round_rng(self.seed, archive)
        return Batch.of(*rejection_sample(self.problem, archive, rng, [sample] * self.batch_size))

    def logits(self, archive: Archive) -> Matrix:
        """Return the logits after all updates, one for each architecture within the limits."""
        return self._policy(archive).logits

    def _updated(self, policy: Policy, round_: Round) -> Policy:
        for record in round_.records:
            if record.verdict == "feasible" and record.arch is not None:
                policy = self._update(policy, record.arch, record.metrics[self.problem.objective])
        return policy

    def _update(self, policy: Policy, arch: Architecture, reward: float) -> Policy:
        step = policy.updates + 1
        baseline = policy.baseline + (1 - self.baseline_decay) * (reward - policy.baseline)
        advantage = reward - baseline / (1 - self.baseline_decay**step)
        gradient = advantage * self._gradient(policy.logits, arch)
        mean = policy.mean + (1 - BETA1) * (gradient - policy.mean)
        square = policy.square + (1 - BETA2) * (gradient * gradient - policy.square)
        root = np.sqrt(square / (1 - BETA2**step)) + EPSILON
        logits = policy.logits + self.learning_rate / (1 - BETA1**step) * mean / root
        return Policy(logits, mean, square, baseline, step)

    def _initial_logits(self) -> Matrix:
        rng = random.Random(f"{self.seed}/logits")
        options = [len(v.options) for v in gene_variables(self.problem.space.variables)]
        logits = np.full((len(options), max(options)), -np.inf)
        for row, count in zip(logits, options, strict=True):
            row[:count] = [rng.gauss(0, INITIAL_SD) for _ in range(count)]
        return logits

    def _gradient(self, logits: Matrix, arch: Architecture) -> Matrix:
        """Return the gradient of the log-likelihood of the active genes of `arch`."""
        chosen = np.array(option_indices(self.problem.space.variables, arch))
        active = np.flatnonzero(chosen != INACTIVE)
        gradient = np.zeros_like(logits)
        gradient[active] = -_softmax(logits[active])
        gradient[active, chosen[active]] += 1
        return gradient


def _softmax(logits: Matrix) -> Matrix:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Matrix = weights / weights.sum(axis=1, keepdims=True)
    return shares
