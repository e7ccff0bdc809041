"""The conformance suite notices what is wrong: each mistake breaks the test that is about it."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.base import Costs
from collm_nas.spaces.shufflenet.network import SPOSNetwork
from collm_nas.spaces.shufflenet.space import ShuffleNet
from collm_nas.spaces.shufflenet.supernet import SPOSSupernet
from collm_nas.testing.conformance import SearchSpaceConformance, SupernetConformance
from collm_nas.testing.networks import untrained

TINY: Any = {
    "repeats": [2, 1],
    "channels": [4, 8, 16, 16],
    "num_classes": 3,
    "resolution": 32,
}
NOTICED = (AssertionError, pytest.fail.Exception)


class Repairs(ShuffleNet):
    """Reads "3" as 3."""

    def decode(self, answer: Any) -> Architecture:
        if isinstance(answer, dict) and isinstance(answer.get("ops"), list):
            answer = {"ops": [int(op) if op in [*"0123"] else op for op in answer["ops"]]}
        return super().decode(answer)


class Miscounts(ShuffleNet):
    """Forgets an architecture."""

    def size(self) -> int:
        return super().size() - 1


class Repeats(ShuffleNet):
    """Counts an architecture among its own neighbours."""

    def neighbours(self, arch: Architecture) -> list[Architecture]:
        return [*super().neighbours(arch), arch]


class Withholds(ShuffleNet):
    """Does not admit the last choice to constrained decoding."""

    def schema(self) -> dict[str, Any]:
        schema = super().schema()
        schema["properties"]["ops"]["items"]["enum"].pop()
        return schema


class Loses(ShuffleNet):
    """Takes two architectures for one."""

    def canonical(self, arch: Architecture) -> Architecture:
        return Architecture.of({"ops": [min(int(op), 2) for op in arch["ops"]]})

    def decode(self, answer: Any) -> Architecture:
        return Architecture.of({"ops": super().decode(answer)["ops"]})


class Overspends(ShuffleNet):
    """Draws without looking at the limits."""

    def sample_within(self, rng: random.Random, limits: Any) -> Architecture:
        return self.sample(rng)


def test_samples_beyond_a_limit_are_noticed() -> None:
    class Suite(SearchSpaceConformance):
        space = Overspends(**TINY)

    with pytest.raises(NOTICED):
        Suite().test_samples_lie_within_limits("macs")


class Confuses(ShuffleNet):
    """Names two architectures alike."""

    def key(self, arch: Architecture) -> str:
        return "".join("1" if op == 2 else str(op) for op in arch["ops"])


class Promises(ShuffleNet):
    """Tells a range that some architectures leave."""

    def cost_range(self, metric: str) -> tuple[float, float] | None:
        low, high = super().cost_range(metric) or (0, 0)
        return low, high - 1


class Undercharges(ShuffleNet):
    """Forgets one multiply-add."""

    def costs(self, arch: Architecture) -> Costs:
        costs = super().costs(arch)
        return {**costs, "macs": costs["macs"] - 1}


@pytest.mark.parametrize(
    ("space", "test"),
    [
        (Repairs, "test_no_wrong_value_is_coerced"),
        (Miscounts, "test_size_counts_every_architecture_once"),
        (Repeats, "test_neighbours_are_other_legal_architectures"),
        (Withholds, "test_schema_admits_what_it_writes"),
        (Loses, "test_size_counts_every_architecture_once"),
        (Loses, "test_sampling_depends_on_the_generator_alone_and_reaches_every_option"),
        (Overspends, "test_impossible_limits_are_explained"),
        (Confuses, "test_keys_are_distinct_and_fit_into_file_names"),
        (Promises, "test_costs_lie_within_the_exact_range"),
    ],
)
def test_mistake_of_a_space_is_noticed(space: type[ShuffleNet], test: str) -> None:
    class Suite(SearchSpaceConformance):
        pass

    Suite.space = space(**TINY)
    with pytest.raises(NOTICED):
        getattr(Suite(), test)()
    Suite.space = ShuffleNet(**TINY)
    getattr(Suite(), test)()


class Shares(SPOSSupernet):
    """Hands its own weights out."""

    def extract(self, arch: Architecture) -> SPOSNetwork:
        subnet = super().extract(arch)
        subnet.classifier = self.classifier
        return subnet


class ForgetsStatistics(SPOSSupernet):
    """Resets one batch norm of what it extracts."""

    def extract(self, arch: Architecture) -> SPOSNetwork:
        subnet = super().extract(arch)
        norm = subnet.get_submodule("conv_last.1")
        assert isinstance(norm, nn.BatchNorm2d)
        norm.reset_running_stats()
        return subnet


class Masks(SPOSSupernet):
    """Runs every choice and multiplies what is not wanted by zero."""

    def forward(self, images: Tensor, arch: Architecture) -> Tensor:
        x = self.first_conv(images)
        for choices, op in zip(self.features, arch["ops"], strict=True):
            assert isinstance(choices, nn.ModuleList)
            x = sum((index == op) * choice(x) for index, choice in enumerate(choices))
        return self.classify(x)


class Detaches(SPOSSupernet):
    """Cuts the first layers off from training."""

    def forward(self, images: Tensor, arch: Architecture) -> Tensor:
        x = self.first_conv(images).detach()
        for choices, op in zip(self.features, arch["ops"], strict=True):
            assert isinstance(choices, nn.ModuleList)
            x = choices[int(op)](x)
        return self.classify(x)


class Remembers(SPOSSupernet):
    """Keeps an active architecture."""

    def forward(self, images: Tensor, arch: Architecture) -> Tensor:
        self.active = arch
        time.sleep(0.01)
        return super().forward(images, self.active)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "supernet", "test"),
    [
        (ShuffleNet, Shares, "test_extracting_copies"),
        (ShuffleNet, ForgetsStatistics, "test_extracted_subnet_computes_what_the_supernet_does"),
        (ShuffleNet, Masks, "test_gradients_reach_exactly_the_weights_that_matter"),
        (ShuffleNet, Detaches, "test_gradients_reach_exactly_the_weights_that_matter"),
        (ShuffleNet, Remembers, "test_threads_do_not_disturb_each_other"),
        (Undercharges, SPOSSupernet, "test_costs_are_those_of_the_network"),
    ],
)
def test_mistake_of_a_supernet_is_noticed(
    space: type[ShuffleNet], supernet: type[SPOSSupernet], test: str
) -> None:
    class Suite(SupernetConformance):
        pass

    def run() -> None:
        Suite.net = untrained(Suite.space)
        getattr(Suite(), test)()

    Broken = type("Broken", (space,), {"supernet": f"{__name__}:{supernet.__name__}"})
    Suite.space = Broken(**TINY)
    with pytest.raises(NOTICED):
        run()
    Suite.space = ShuffleNet(**TINY)
    run()
