# ruff: noqa: D102 (a test's name says what it promises)
"""The promises of a search space and of a supernet, as test classes to inherit from.

    class TestMySpace(SearchSpaceConformance):
        space = MySpace()

    class TestMySupernet(SupernetConformance):
        space = MySpace()

is all that a new one needs. Architectures are drawn by hypothesis (MacIver et al., 2019,
https://doi.org/10.21105/joss.01891), which shrinks what fails to the simplest case; the same ones
every time. The idea of shipping the tests of a contract is optuna's.
"""

from __future__ import annotations

import copy
import json
import math
import random
import re
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from collm_nas.architecture import Architecture, InvalidArchitecture, NothingFeasible
from collm_nas.searchspace.base import SearchSpace
from collm_nas.supernet.base import Supernet
from collm_nas.testing.candidates import architectures, impostors_of, leaves_of
from collm_nas.testing.networks import assert_same, noise, untrained
from collm_nas.testing.schema import matches

ENUMERABLE = 20_000  # spaces up to this size are counted one by one
UNHEALTHY = [HealthCheck.differing_executors, HealthCheck.too_slow]  # inherited tests are meant
many = settings(
    max_examples=50, deadline=None, derandomize=True, database=None, suppress_health_check=UNHEALTHY
)
# Of what runs a network; shrinking would run large ones for minutes.
few = settings(many, max_examples=8, phases=[Phase.explicit, Phase.generate])


class SearchSpaceConformance:
    """What every search space promises to strategies, archives and language models."""

    space: ClassVar[SearchSpace]

    @many
    @given(st.data())
    def test_what_it_writes_it_reads(self, data: st.DataObject) -> None:
        arch = data.draw(architectures(self.space))
        written = json.loads(json.dumps(self.space.encode(arch)))
        assert self.space.decode(written) == arch
        assert Architecture.of(json.loads(json.dumps(arch.to_json()))) == arch

    @many
    @given(st.data(), st.randoms(use_true_random=False))
    def test_canonical_form_is_final_and_ignores_inactive_genes(
        self, data: st.DataObject, rng: random.Random
    ) -> None:
        arch = data.draw(architectures(self.space))
        assert self.space.canonical(arch) == arch
        assert self.space.build(self.space.full_genes(arch, rng)) == arch

    @many
    @given(st.data())
    def test_key_names_one_architecture(self, data: st.DataObject) -> None:
        a, b = (data.draw(architectures(self.space)) for _ in range(2))
        assert (self.space.key(a) == self.space.key(b)) == (a == b)
        assert re.fullmatch(r"[\w.+-]+", self.space.key(a)), "a key must fit into a file name"

    @many
    @given(st.data())
    def test_costs_are_positive_numbers(self, data: st.DataObject) -> None:
        arch = data.draw(architectures(self.space))
        costs = self.space.costs(arch)
        assert {"macs", "params"} <= {*costs}
        assert all(math.isfinite(cost) and cost > 0 for cost in costs.values())
        assert self.space.costs(arch) == costs

    @many
    @given(st.data(), st.integers(0, 2**32))
    def test_variations_are_legal(self, data: st.DataObject, seed: int) -> None:
        a, b = (data.draw(architectures(self.space)) for _ in range(2))
        rng = random.Random(seed)
        variations = [self.space.mutate(a, rng, rate) for rate in (0.1, 1.0)]
        variations.append(self.space.mutate_one(a, rng))
        for arch in [*variations, self.space.crossover(a, b, rng), self.space.sample(rng)]:
            assert self.space.decode(self.space.encode(arch)) == arch
        assert self.space.mutate(a, rng, 0.0) == a
        assert self.space.crossover(a, a, rng) == a

    @many
    @given(st.data())
    def test_neighbours_are_other_legal_architectures(self, data: st.DataObject) -> None:
        arch = data.draw(architectures(self.space))
        neighbours = self.space.neighbours(arch)
        assert neighbours
        assert arch not in neighbours
        assert len({*neighbours}) == len(neighbours)
        assert all(self.space.decode(self.space.encode(n)) == n for n in neighbours)

    def test_sampling_depends_on_the_generator_alone_and_reaches_every_option(self) -> None:
        once, again = ([self.space.sample(rng) for _ in range(500)] for rng in _twins())
        assert once == again
        for v in self.space.variables:
            assert {*v.options} <= {gene for arch in once for gene in arch[v.name]}

    def test_size_counts_every_architecture_once(self) -> None:
        encodings = math.prod(len(v.options) ** v.count for v in self.space.variables)
        assert 0 < self.space.size() <= encodings
        if encodings <= ENUMERABLE:
            listed = list(self.space.architectures())
            assert len({*listed}) == len(listed) == self.space.size()

    @pytest.mark.parametrize("metric", ["macs", "params"])
    def test_samples_lie_within_limits(self, metric: str) -> None:
        rng = random.Random(0)
        usual = sorted(self.space.costs(self.space.sample(rng))[metric] for _ in range(20))
        low, high = usual[5], usual[15]
        for minimum, maximum in ((None, high), (low, None), (low, high)):
            arch = self.space.sample_within(rng, [(metric, minimum, maximum)])
            cost = self.space.costs(arch)[metric]
            assert minimum is None or cost >= minimum
            assert maximum is None or cost <= maximum

    def test_impossible_limits_are_explained(self) -> None:
        with pytest.raises(NothingFeasible, match=r"macs.*\d.*limits"):
            self.space.sample_within(random.Random(0), [("macs", None, 1)])

    # -- towards a language model -----------------------------------------------------------

    @pytest.mark.parametrize("garbage", [None, 3, "text", [], {}, [[]], {"unheard of": 1}, True])
    def test_garbage_is_refused(self, garbage: object) -> None:
        with pytest.raises(InvalidArchitecture):
            self.space.decode(garbage)

    @many
    @given(st.data())
    def test_no_wrong_value_is_coerced(self, data: st.DataObject) -> None:
        answer = self.space.encode(data.draw(architectures(self.space)))
        holder, place = data.draw(st.sampled_from(leaves_of(answer)))
        holder[place] = data.draw(st.sampled_from(impostors_of(holder[place])))
        with pytest.raises(InvalidArchitecture) as error:
            self.space.decode(answer)
        assert error.value.problems

    @many
    @given(st.data())
    def test_all_wrong_values_are_reported_at_once(self, data: st.DataObject) -> None:
        answer = self.space.encode(data.draw(architectures(self.space)))
        holders = [holder for holder, place in leaves_of(answer) if place == 1]
        if not holders:
            pytest.skip("an architecture is written as one value")
        holders[-1][0] = holders[-1][1] = "nonsense"
        with pytest.raises(InvalidArchitecture) as error:
            self.space.decode(answer)
        assert len([p for p in error.value.problems if "nonsense" in p]) >= 2

    @many
    @given(st.data())
    def test_schema_admits_what_it_writes(self, data: st.DataObject) -> None:
        arch = data.draw(architectures(self.space))
        assert matches(json.loads(json.dumps(self.space.schema())), self.space.encode(arch))
        assert not matches(self.space.schema(), {})

    def test_knowledge_shows_every_option_and_a_legal_example(self) -> None:
        text = self.space.knowledge()
        for word in self.space.vocabulary.values():
            assert [label for label in word.told() if str(label) not in text] == []
        assert any(self._is_legal(example) for example in re.findall(r"\{.*\}", text))

    def test_knowledge_is_reordered_by_a_seed_alone(self) -> None:
        told = [self.space.retold(seed).knowledge() for seed in range(5)]
        assert told == [self.space.retold(seed).knowledge() for seed in range(5)]
        assert len({*told}) > 1

    def _is_legal(self, text: str) -> bool:
        try:
            self.space.decode(json.loads(text))
        except (json.JSONDecodeError, InvalidArchitecture):
            return False
        return True


class SupernetConformance:
    """What every supernet promises to trainers and evaluators."""

    space: ClassVar[SearchSpace]

    @pytest.fixture(scope="class")
    @classmethod
    def supernet(cls) -> Supernet:
        return untrained(cls.space)

    @few
    @given(st.data())
    def test_extracted_subnet_computes_what_the_supernet_does(
        self, supernet: Supernet, data: st.DataObject
    ) -> None:
        arch = data.draw(architectures(self.space))
        images = self._images(arch)
        assert_same(supernet.extract(arch)(images), supernet(images, arch))

    @few
    @given(st.data(), st.randoms(use_true_random=False))
    def test_architectures_with_one_canonical_form_give_the_same_logits(
        self, supernet: Supernet, data: st.DataObject, rng: random.Random
    ) -> None:
        arch = data.draw(architectures(self.space))
        other = Architecture.of(self.space.full_genes(arch, rng))
        images = self._images(arch)
        logits = supernet(images, self.space.canonical(other))
        assert torch.equal(logits, supernet(images, arch))

    @few
    @given(st.data())
    def test_gradients_reach_exactly_the_weights_that_matter(
        self, supernet: Supernet, data: st.DataObject
    ) -> None:
        arch = data.draw(architectures(self.space))
        images = self._images(arch)
        logits = _backward(supernet, images, arch)
        subnet = supernet.extract(arch)
        _backward(subnet, images)
        # Dead inputs leave some weights of any network without a gradient.
        assert _count_zeros(supernet) <= _count_zeros(subnet), (
            "what a subnet does not use must get no gradient, not one of zeros"
        )
        nudged = copy.deepcopy(supernet)
        with torch.no_grad():
            for idle, weight in zip(supernet.parameters(), nudged.parameters(), strict=True):
                nudge = 1e-10  # so small that it wakes up no dead unit
                weight.add_(nudge if idle.grad is None else nudge * (idle.grad == 0))
        assert_same(nudged(images, arch), logits, tolerance=1e-13)

    @few
    @given(st.data())
    def test_costs_are_those_of_the_extracted_subnet(
        self, supernet: Supernet, data: st.DataObject
    ) -> None:
        arch = data.draw(architectures(self.space))
        subnet, costs = supernet.extract(arch), self.space.costs(arch)
        assert sum(p.numel() for p in subnet.parameters()) == costs["params"]
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            subnet(self._images(arch)[:1])
        # torch counts no biases; NAS-Bench-201 counts those of its linear layer, other spaces none
        linear = [m for m in subnet.modules() if isinstance(m, nn.Linear) and m.bias is not None]
        biases = sum(layer.out_features for layer in linear)
        uncounted = costs["macs"] - counter.get_total_flops() / 2 - self.hidden_macs(subnet)
        assert uncounted in (0, biases)

    def hidden_macs(self, subnet: nn.Module) -> int:
        """Return the multiply-adds that torch's counter does not see, e.g. of fused attention."""
        return 0

    def test_extracting_copies(self, supernet: Supernet) -> None:
        before = copy.deepcopy(supernet.state_dict())
        subnet = supernet.extract(self._example())
        with torch.no_grad():
            for weight in [*subnet.parameters(), *subnet.buffers()]:
                weight.fill_(0)
        after = supernet.state_dict()
        assert [name for name in before if not torch.equal(before[name], after[name])] == []

    def test_threads_do_not_disturb_each_other(self, supernet: Supernet) -> None:
        rng = random.Random(0)
        archs = [self.space.sample(rng) for _ in range(8)]
        tasks = [(self._images(arch), arch) for arch in archs]
        alone = [_logits(supernet, *task) for task in tasks]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda task: _logits(supernet, *task), tasks))
        assert all(map(torch.equal, alone, together))

    def test_extracted_subnet_can_be_exported_and_compiled(self, supernet: Supernet) -> None:
        arch = self._example()
        subnet, images = supernet.extract(arch), self._images(arch)
        expected = subnet(images)
        assert_same(torch.export.export(subnet, (images,)).module()(images), expected)
        torch.compiler.reset()
        assert_same(torch.compile(subnet, backend="eager", fullgraph=True)(images), expected)

    def test_extracted_subnet_runs_in_bf16_and_channels_last(self, supernet: Supernet) -> None:
        arch = self._example()
        subnet, images = supernet.extract(arch), self._images(arch)
        expected = subnet(images)
        assert_same(
            subnet.to(memory_format=torch.channels_last)(
                images.to(memory_format=torch.channels_last)
            ),
            expected,
        )
        half = subnet.bfloat16()(images.bfloat16())
        assert half.dtype == torch.bfloat16
        assert half.shape == expected.shape
        assert half.isfinite().all()

    def _example(self) -> Architecture:
        return self.space.sample(random.Random("example"))

    def _images(self, arch: Architecture) -> Tensor:
        side = self.space.resolution(arch)
        return noise(2, 3, side, side, seed=0)


def _backward(network: nn.Module, *inputs: object) -> Tensor:
    """Compute the logits, and the gradients of a number that depends on all of them."""
    network.zero_grad(set_to_none=True)
    logits: Tensor = network(*inputs)
    (logits * noise(*logits.shape, seed=1)).sum().backward()  # type: ignore[no-untyped-call]
    return logits


def _count_zeros(network: nn.Module) -> int:
    """Count the weights that got a gradient of nothing but zeros."""
    return sum(p.grad is not None and not p.grad.any() for p in network.parameters())


def _logits(supernet: Supernet, images: Tensor, arch: Architecture) -> Tensor:
    with torch.no_grad():  # holds in this thread alone
        return supernet.forward(images, arch)


def _twins() -> tuple[random.Random, random.Random]:
    return random.Random(0), random.Random(0)
