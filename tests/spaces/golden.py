"""How close to the original implementations the logits must be."""

from __future__ import annotations

from typing import Any

import pytest
import torch


def assert_golden(logits: torch.Tensor, golden: Any) -> None:
    """Compare with what the original implementation computed, relative to max(1, |golden|)."""
    wide = logits.double()
    numbers = [*wide[0, :5].tolist(), wide.abs().mean().item()]
    expected = [*golden["first5"], golden["abs_mean"]]
    for number, known in zip(numbers, expected, strict=True):
        assert number == pytest.approx(known, rel=1e-5, abs=1e-5)
    assert wide.sum().item() == pytest.approx(golden["sum"], rel=1e-5, abs=1e-3)
    assert wide.argmax(1).tolist() == golden["argmax"]
