"""REINFORCE (Williams, 1992; for architectures Zoph & Le, 2017, https://arxiv.org/abs/1611.01578).

One softmax per gene. The settings are those of the NATS-Bench baselines (Dong et al., 2021,
https://arxiv.org/abs/2009.00437): Adam with rate 0.01, moving-average baseline of 0.9.
"""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

from collm_nas.architecture import Architecture
from collm_nas.archive import Archive
from collm_nas.problem import Problem
from collm_nas.strategy.base import Batch, known, new_sample, round_rng

Logits = list[NDArray[np.float64]]  # per variable: (count, options)
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's own


class Reinforce:
    """Sample from the policy, which is learnt anew from the archive in every round.

    Args:
        learning_rate: of Adam.
        baseline_decay: of the moving average of rewards, bias-corrected.
    """

    def __init__(
        self, problem: Problem, seed: int, learning_rate: float, baseline_decay: float
    ) -> None:
        self.problem = problem
        self.seed = seed
        self.learning_rate = learning_rate
        self.baseline_decay = baseline_decay

    def propose(self, archive: Archive) -> Batch:
        """See `SearchStrategy`."""
        rng, avoid = round_rng(self.seed, archive), known(archive)
        logits = self._policy(archive)
        for _ in range(100):
            arch = self._sample(logits, rng)
            if arch not in avoid and self.problem.is_feasible(arch):
                return Batch.of(arch)
        return Batch.of(new_sample(self.problem, rng, avoid))

    def _sample(self, logits: Logits, rng: random.Random) -> Architecture:
        variables = self.problem.space.variables
        return self.problem.space.build(
            {
                v.name: [rng.choices(v.options, np.exp(row - row.max()))[0] for row in table]
                for v, table in zip(variables, logits, strict=True)
            }
        )

    def _policy(self, archive: Archive) -> Logits:
        """Replay the updates of all evaluations, oldest first."""
        init = np.random.default_rng(self.seed)
        shapes = [(v.count, len(v.options)) for v in self.problem.space.variables]
        logits = [1e-3 * init.standard_normal(shape) for shape in shapes]
        first = [np.zeros(shape) for shape in shapes]
        second = [np.zeros(shape) for shape in shapes]
        average = 0.0
        for step, record in enumerate(archive.feasible(), start=1):
            reward, decay = archive.score(record), self.baseline_decay
            average = decay * average + (1 - decay) * reward
            advantage = reward - average / (1 - decay**step)
            assert record.arch is not None
            for i, gradient in enumerate(self._gradients(logits, record.arch, advantage)):
                first[i] = BETA1 * first[i] + (1 - BETA1) * gradient
                second[i] = BETA2 * second[i] + (1 - BETA2) * gradient**2
                mean, square = first[i] / (1 - BETA1**step), second[i] / (1 - BETA2**step)
                logits[i] = logits[i] - self.learning_rate * mean / (np.sqrt(square) + EPSILON)
        return logits

    def _gradients(self, logits: Logits, arch: Architecture, advantage: float) -> Logits:
        """Return the gradient of `-advantage * log p(arch)`; inactive genes have none."""
        gradients = []
        for variable, table in zip(self.problem.space.variables, logits, strict=True):
            exp = np.exp(table - table.max(axis=1, keepdims=True))
            gradient = advantage * exp / exp.sum(axis=1, keepdims=True)
            values = arch[variable.name]
            for i in range(variable.count):
                if i < len(values) and values[i] in variable.options:
                    gradient[i, variable.options.index(values[i])] -= advantage
                else:
                    gradient[i] = 0.0
            gradients.append(gradient)
        return gradients
