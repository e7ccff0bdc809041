import math

import pytest
import torch
import torch.nn.functional as F
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

from collm_nas.training.loss import CrossEntropy
from tests.training.recipes import recipe

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(8, 5, generator=RNG)
TEACHER = torch.randn(8, 5, generator=RNG)
LABELS = torch.randint(5, (8,), generator=RNG)


def test_labels_are_smoothed_as_by_timm():
    ours = CrossEntropy(label_smoothing=0.1)(LOGITS, LABELS)
    assert ours.item() == pytest.approx(LabelSmoothingCrossEntropy(0.1)(LOGITS, LABELS).item())


def test_mixed_targets_are_learnt_as_by_timm():
    soft = torch.softmax(TEACHER, 1)
    ours = CrossEntropy()(LOGITS, soft)
    assert ours.item() == pytest.approx(SoftTargetCrossEntropy()(LOGITS, soft).item())


@pytest.mark.filterwarnings("ignore:Implicit dimension")  # theirs
def test_once_for_all_adds_the_teacher_to_the_labels():
    utils = pytest.importorskip("ofa.utils", reason="the package ofa is not installed")
    ours = recipe("ofa").loss(LOGITS, LABELS, TEACHER)
    labels = utils.cross_entropy_with_label_smoothing(LOGITS, LABELS, 0.1)
    teacher = utils.cross_entropy_loss_with_soft_target(LOGITS, F.softmax(TEACHER, 1))
    assert ours.item() == pytest.approx((labels + 1.0 * teacher).item(), rel=1e-5)


def test_in_place_distillation_learns_from_the_teacher_alone():
    loss = recipe("sandwich").loss
    other_labels = (LABELS + 1) % 5
    assert loss(LOGITS, LABELS, TEACHER) == loss(LOGITS, other_labels, TEACHER)
    assert loss(LOGITS, LABELS) != loss(LOGITS, other_labels)
    best = TEACHER.clone().requires_grad_()
    loss(best, LABELS, TEACHER).backward()
    assert best.grad is not None
    assert best.grad.abs().max() < 1e-6, "a student that says what its teacher says is done"


def test_hard_distillation_is_half_labels_and_half_the_smoothed_class_of_the_teacher():
    """AutoFormer's `1/2 * criterion + 1/2 * teach_loss`, both smoothed by 0.1; by hand:

    probabilities 0.7, 0.2, 0.1; the label is class 1, mixed and smoothed by the augmentation, here
    alone; the teacher names class 0.
    """
    logits = torch.tensor([[0.7, 0.2, 0.1]]).log()
    teacher = torch.tensor([[3.0, 1.0, 2.0]])
    target = torch.tensor([[0.0, 1.0, 0.0]])
    nll = [-math.log(p) for p in (0.7, 0.2, 0.1)]
    expected = 0.5 * nll[1] + 0.5 * (0.9 * nll[0] + 0.1 * sum(nll) / 3)
    assert recipe("autoformer").loss(logits, target, teacher).item() == pytest.approx(expected)
    assert LabelSmoothingCrossEntropy(0.1)(logits, torch.tensor([0])).item() == pytest.approx(
        0.9 * nll[0] + 0.1 * sum(nll) / 3
    )


def test_the_teacher_is_not_taught():
    teacher = TEACHER.clone().requires_grad_()
    student = LOGITS.clone().requires_grad_()
    CrossEntropy()(student, LABELS, teacher).backward()
    assert teacher.grad is None


def test_all_problems_are_told_at_once():
    with pytest.raises(ValueError, match="label_smoothing") as error:
        CrossEntropy(label_smoothing=1.0, teacher_weight=-1, teacher="soft")  # type: ignore[arg-type]
    assert len(str(error.value).splitlines()) == 3
