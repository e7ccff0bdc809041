import torch
from torch import nn

from collm_nas.training.gradients import fill_missing


def test_parameters_without_a_gradient_move_only_if_theirs_is_zero():
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([used, unused], lr=0.1, weight_decay=0.5)
    used.grad = torch.zeros(2)
    optimizer.step()
    assert unused.tolist() == [1.0, 1.0]
    fill_missing([used, unused])
    optimizer.step()
    assert torch.allclose(unused, torch.tensor([0.95, 0.95]))
