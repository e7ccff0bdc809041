"""What training minimises: cross-entropy against labels, and against a teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch.nn.functional as F
from torch import Tensor

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import BelowOne, NotNegative


class Loss(Protocol):
    """The mean over a batch."""

    def __call__(
        self, logits_NC: Tensor, targets: Tensor, teacher_logits_NC: Tensor | None = None
    ) -> Tensor:
        """Return a scalar; `targets` are classes (N,), or distributions (N, C) after mixup."""


@checked
@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy; with a teacher, a weighted sum of the labels' and the teacher's.

    Args:
        label_smoothing: how much of a label is spread over all classes.
        label_weight: of the labels, where there is a teacher.
        teacher_weight: of the teacher, where there is one.
        teacher: what of the teacher is learnt: its softmax at temperature 1 (`distribution`), or
            the class it names (`class`, Touvron et al., 2021, https://arxiv.org/abs/2012.12877).
        teacher_smoothing: how much of the class that the teacher names is spread over all classes.
    """

    label_smoothing: BelowOne = 0.0
    label_weight: NotNegative = 1.0
    teacher_weight: NotNegative = 1.0
    teacher: Literal["distribution", "class"] = "distribution"
    teacher_smoothing: BelowOne = 0.0

    def __call__(
        self, logits_NC: Tensor, targets: Tensor, teacher_logits_NC: Tensor | None = None
    ) -> Tensor:
        labels = F.cross_entropy(logits_NC, targets, label_smoothing=self.label_smoothing)
        if teacher_logits_NC is None:
            return labels
        teacher_logits_NC = teacher_logits_NC.detach()
        soft = self.teacher == "distribution"
        lesson = teacher_logits_NC.softmax(1) if soft else teacher_logits_NC.argmax(1)
        learnt = F.cross_entropy(logits_NC, lesson, label_smoothing=self.teacher_smoothing)
        return self.label_weight * labels + self.teacher_weight * learnt
