"""The promises of networks: of a supernet, and of those that a table was made with."""

from __future__ import annotations

import copy
import random
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.supernet import Supernet
from collm_nas.testing.candidates import architectures, few, similar
from collm_nas.testing.networks import assert_same, count_macs, noise, standardised, untrained

FEW = 100  # spaces up to this size are compared network by network
EXAMPLES = 12  # of larger ones, architectures that are compared with similar ones
SUSPECTS = 6  # for each of them: the nearest, and as many others
QUICK = 30e6  # multiply-adds of a network that runs in milliseconds


class NetworkConformance:
    """What the networks of a space promise.

    A space that is only looked up in a table has no supernet; the networks that its table is about
    check its costs and its canonical form all the same:

        class TestMyNetworks(NetworkConformance):
            space = MySpace()

            def network(self, arch):
                return the_benchmarks_own_network(arch)
    """

    space: ClassVar[SearchSpace]

    def network(self, arch: Architecture) -> nn.Module:
        """Build the network of `arch`, which takes images (N, 3, H, W)."""
        raise NotImplementedError(f"{type(self).__name__}.network is not defined")

    def hidden_macs(self, network: nn.Module) -> int:
        """Return the multiply-adds that torch's counter does not see, e.g. of fused attention."""
        return 0

    def count_as_two(self, a: Architecture, b: Architecture) -> bool:
        """Tell whether two spellings of one network count as two, as in a table that has both."""
        return False

    @few
    @given(st.data())
    def test_costs_are_those_of_the_network(self, data: st.DataObject) -> None:
        arch = data.draw(architectures(self.space))
        network, costs = self.network(arch).double().eval(), self.space.costs(arch)
        params = sum(p.numel() for p in network.parameters())
        assert costs["params"] == params, (
            f"params: costs say {costs['params']:,}, the network has {params:,}, of {arch}"
        )
        macs = count_macs(network, self._images(arch)[:1]) + self.hidden_macs(network)
        # torch counts no biases; NAS-Bench-201 counts those of its linear layer, other spaces none
        linear = [m for m in network.modules() if isinstance(m, nn.Linear) and m.bias is not None]
        biases = sum(layer.out_features for layer in linear)
        with_biases = f", or {macs + biases:,.15g} with biases" if biases else ""
        fits = costs["macs"] in (macs, macs + biases)
        assert fits, (
            f"macs: costs say {costs['macs']:,}, torch counts {macs:,.15g}{with_biases}, of {arch}"
        )

    def test_no_two_architectures_are_one_network(self) -> None:
        """Equal weights for equal layers make twins compute the same, whatever they are called."""
        for suspects in self._suspects():
            logits = {arch: self._standard_logits(arch) for arch in suspects}
            for a, b in combinations(suspects, 2):
                twins = _are_equal(logits[a], logits[b]) and not self.count_as_two(a, b)
                assert not twins, (
                    f"one network twice: {a} and {b} have equal costs and, with equal weights for "
                    "equal layers, compute the same. `canonical` must map both to one; if they "
                    "are to count as two, say so in `count_as_two`"
                )

    def _suspects(self) -> Iterator[list[Architecture]]:
        """Group what may be twins: in size and cost they are equal."""
        if self.space.size() <= FEW:
            yield from self._alike(list(self.space.architectures()))
            return
        rng = random.Random("twins")
        is_slow = self.space.costs(self.space.sample(rng))["macs"] > QUICK
        for _ in range(EXAMPLES // 4 if is_slow else EXAMPLES):
            arch = self.space.sample(rng)
            for alike in self._alike([arch, *similar(self.space, arch)]):
                if arch in alike:
                    nearest, others = alike[: SUSPECTS + 1], alike[SUSPECTS + 1 :]
                    yield nearest + rng.sample(others, min(SUSPECTS, len(others)))

    def _alike(self, archs: list[Architecture]) -> Iterator[list[Architecture]]:
        groups: defaultdict[object, list[Architecture]] = defaultdict(list)
        for arch in archs:
            costs = self.space.costs(arch)
            groups[self.space.resolution(arch), *costs.items()].append(arch)
        yield from (group for group in groups.values() if len(group) > 1)

    def _standard_logits(self, arch: Architecture) -> Tensor:
        with torch.no_grad():
            logits: Tensor = standardised(self.network(arch))(self._images(arch))
        return logits

    def _images(self, arch: Architecture) -> Tensor:
        side = self.space.resolution(arch)
        return noise(2, 3, side, side, seed=0)


class SupernetConformance(NetworkConformance):
    """What every supernet promises to trainers and evaluators."""

    net: ClassVar[Supernet]  # an attribute: as an argument it would be printed with each failure

    @pytest.fixture(scope="class")
    @classmethod
    def supernet(cls) -> Supernet:
        return untrained(cls.space)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _hold(cls, supernet: Supernet) -> None:
        cls.net = supernet

    def network(self, arch: Architecture) -> nn.Module:
        return self.net.extract(arch)

    @few
    @given(st.data())
    def test_extracted_subnet_computes_what_the_supernet_does(self, data: st.DataObject) -> None:
        arch = data.draw(architectures(self.space))
        images = self._images(arch)
        what = f"extracted subnet and supernet, {arch}"
        assert_same(self.net.extract(arch)(images), self.net(images, arch), what)

    @few
    @given(st.data(), st.randoms(use_true_random=False))
    def test_architectures_with_one_canonical_form_give_the_same_logits(
        self, data: st.DataObject, rng: random.Random
    ) -> None:
        arch = data.draw(architectures(self.space))
        other = self.space.canonical(Architecture.of(self.space.full_genes(arch, rng)))
        images = self._images(arch)
        assert_same(self.net(images, other), self.net(images, arch), f"{other} and {arch}", 0)

    @few
    @given(st.data())
    def test_gradients_reach_exactly_the_weights_that_matter(self, data: st.DataObject) -> None:
        arch = data.draw(architectures(self.space))
        images = self._images(arch)
        logits = _backward(self.net, images, arch)
        subnet = self.net.extract(arch)
        _backward(subnet, images)
        # Dead inputs leave some weights of any network without a gradient.
        zeros, dead = _count_zeros(self.net), _count_zeros(subnet)
        assert zeros <= dead, (
            f"what a subnet does not use must get no gradient, not one of zeros: {zeros} weights "
            f"of the supernet got zeros, {dead} of the extracted subnet, {arch}"
        )
        nudged = copy.deepcopy(self.net)
        with torch.no_grad():
            for idle, weight in zip(self.net.parameters(), nudged.parameters(), strict=True):
                nudge = 1e-10  # so small that it wakes up no dead unit
                weight.add_(nudge if idle.grad is None else nudge * (idle.grad == 0))
        what = f"before and after weights without a gradient were changed, {arch}"
        assert_same(nudged(images, arch), logits, what, tolerance=1e-13)

    def test_extracting_copies(self) -> None:
        before = copy.deepcopy(self.net.state_dict())
        subnet = self.net.extract(self._example())
        with torch.no_grad():
            for weight in [*subnet.parameters(), *subnet.buffers()]:
                weight.fill_(0)
        after = self.net.state_dict()
        shared = [name for name in before if not torch.equal(before[name], after[name])]
        assert not shared, f"the extracted subnet shares {len(shared)} weights: {shared[:3]}"

    def test_threads_do_not_disturb_each_other(self) -> None:
        rng = random.Random(0)
        archs = [self.space.sample(rng) for _ in range(8)]
        tasks = [(self._images(arch), arch) for arch in archs]
        alone = [_logits(self.net, *task) for task in tasks]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda task: _logits(self.net, *task), tasks))
        disturbed = [
            str(arch)
            for arch, a, b in zip(archs, alone, together, strict=True)
            if not torch.equal(a, b)
        ]
        assert not disturbed, (
            f"{len(disturbed)} of {len(archs)} logits are others with four threads: does the "
            f"supernet remember something? {disturbed[:1]}"
        )

    def test_extracted_subnet_can_be_exported_and_compiled(self) -> None:
        arch = self._example()
        subnet, images = self.net.extract(arch), self._images(arch)
        expected = subnet(images)
        exported = torch.export.export(subnet, (images,)).module()(images)
        assert_same(exported, expected, "exported and not")
        torch.compiler.reset()
        compiled = torch.compile(subnet, backend="eager", fullgraph=True)(images)
        assert_same(compiled, expected, "compiled and not")

    def test_extracted_subnet_runs_in_bf16_and_channels_last(self) -> None:
        arch = self._example()
        subnet, images = self.net.extract(arch), self._images(arch)
        expected = subnet(images)
        last = torch.channels_last
        other = subnet.to(memory_format=last)(images.to(memory_format=last))
        assert_same(other, expected, "channels-last and not")
        half = subnet.bfloat16()(images.bfloat16())
        assert half.dtype == torch.bfloat16, f"in bf16 the logits are {half.dtype}"
        assert half.shape == expected.shape, f"in bf16 their shape is {[*half.shape]}"
        assert half.isfinite().all(), "in bf16 some logits are not finite"

    def _example(self) -> Architecture:
        return self.space.sample(random.Random("example"))


def _are_equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-9, atol=1e-9 * float(a.abs().max()))


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
