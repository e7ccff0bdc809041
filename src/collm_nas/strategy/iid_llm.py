"""Independent samples from a language model: the Generator's prompt without strategy or feedback.

The control that tells what a search adds to what the model knew beforehand (compare "Simple
Baselines are Competitive with Code Evolution", 2026, https://arxiv.org/abs/2602.16805).
"""

from __future__ import annotations

from collm_nas.strategy.prompted import Prompted


class IIDLLM(Prompted):
    """Ask the same question in every round: no result is told, whatever `prompting` says."""

    system, user = "generator_system", "iid_llm_user"
