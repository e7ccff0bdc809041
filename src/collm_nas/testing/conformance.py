"""The promises of a search space and of a supernet, as test classes to inherit from.

    class TestMySpace(SearchSpaceConformance):
        space = MySpace()

    class TestMySupernet(SupernetConformance):
        space = MySpace()

is all that a new one needs. A space without a supernet has `NetworkConformance` for its networks.
Architectures are drawn by hypothesis (MacIver et al., 2019, https://doi.org/10.21105/joss.01891),
which shrinks what fails to the simplest case; the same ones every time. The idea of shipping the
tests of a contract is optuna's.
"""

from __future__ import annotations

import json
import math
import random
import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collm_nas.core.architecture import Architecture, InvalidArchitecture, NothingFeasible
from collm_nas.prompting.dialect import Dialect, Names, dialect_of
from collm_nas.prompting.texts import description
from collm_nas.spaces.base import Costs, SearchSpace
from collm_nas.testing.candidates import architectures, impostors_of, leaves_of, many
from collm_nas.testing.network_conformance import NetworkConformance, SupernetConformance
from collm_nas.testing.schema import matches

__all__ = ["NetworkConformance", "SearchSpaceConformance", "SupernetConformance"]

ENUMERABLE = 20_000  # spaces up to this size are counted one by one
KEY = re.compile(r"[\w.%+-]{1,200}", re.ASCII)  # with a few words more, fit for a file name
CONTEXTS = 20  # random architectures in which a change is tried


class SearchSpaceConformance:
    """What every search space promises to strategies, archives and language models."""

    space: ClassVar[SearchSpace]
    # Costs that are known from elsewhere: (an architecture as a model writes it, its costs), …
    known_costs: ClassVar[Iterable[tuple[Any, Mapping[str, float]]]] = ()

    def count_as_two(self, a: Architecture, b: Architecture) -> bool:
        """Tell whether `a` and `b`, which cost the same, are two networks nevertheless.

        Asked where a change that costs something elsewhere costs nothing, as if it had no effect.
        """
        return False

    @many
    @given(st.data())
    def test_what_it_writes_it_reads(self, data: st.DataObject) -> None:
        arch = data.draw(architectures(self.space))
        written = json.loads(json.dumps(self.space.encode(arch)))
        read = self.space.decode(written)
        assert read == arch, f"{arch} is written as {json.dumps(written)} and read as {read}"
        stored = Architecture.of(json.loads(json.dumps(arch.to_json())))
        assert stored == arch, f"{arch} comes back from an archive as {stored}"

    @many
    @given(st.data(), st.randoms(use_true_random=False))
    def test_canonical_form_is_final_and_ignores_inactive_genes(
        self, data: st.DataObject, rng: random.Random
    ) -> None:
        arch = data.draw(architectures(self.space))
        final = self.space.canonical(arch)
        assert final == arch, f"the canonical form of {arch}, itself canonical, is {final}"
        genes = self.space.full_genes(arch, rng)
        rebuilt = self.space.build(genes)
        assert rebuilt == arch, f"inactive genes matter: {genes} builds {rebuilt}, not {arch}"

    @many
    @given(st.data())
    def test_a_change_that_costs_something_elsewhere_does_so_everywhere(
        self, data: st.DataObject
    ) -> None:
        """A gene without effect, which `canonical` should blank, shows in the costs."""
        arch = data.draw(architectures(self.space))
        costs = self.space.costs(arch)
        for v in self.space.variables:
            for i, gene in enumerate(arch[v.name]):
                for option in v.options if gene in v.options else ():
                    other = self._changed(arch, v.name, i, option)
                    if other == arch or self.space.costs(other) != costs:
                        continue
                    may_be_twins = not self.count_as_two(arch, other)
                    twins = may_be_twins and self._costs_elsewhere(v.name, i, (gene, option))
                    assert not twins, (
                        f"one network twice? {arch} and {other} differ in {v.name}[{i}] and cost "
                        f"the same, {_written(costs)}, though this change costs something in other "
                        "architectures. If it has no effect here, `canonical` must map both to "
                        "one; if these are two networks, say so in `count_as_two`"
                    )

    def test_keys_are_distinct_and_fit_into_file_names(self) -> None:
        rng = random.Random("keys")
        archs = [self.space.sample(rng) for _ in range(20)]
        archs += [other for arch in archs for other in self.space.neighbours(arch)]
        if self._encodings() <= ENUMERABLE:
            archs += self.space.architectures()
        known: dict[str, Architecture] = {}
        for arch in archs:
            key = self.space.key(arch)
            other = known.setdefault(key, arch)
            is_one = other == arch
            assert is_one, f"one key for two architectures: {key} is {other} and {arch}"
            assert KEY.fullmatch(key), (
                f"a key must be 1 to 200 characters that fit into a file name (letters, digits, "
                f"_ . % + -), got {key!r} for {arch}"
            )

    # -- costs ------------------------------------------------------------------------------

    @many
    @given(st.data())
    def test_costs_are_positive_numbers(self, data: st.DataObject) -> None:
        arch = data.draw(architectures(self.space))
        costs = self.space.costs(arch)
        assert {"macs", "params"} <= {*costs}, f"macs and params are needed, got {[*costs]}"
        for name, cost in costs.items():
            assert math.isfinite(cost), f"{name} of {arch} must be a number, got {cost}"
            assert cost > 0, f"{name} of {arch} must be positive, got {cost}"
        again = self.space.costs(arch)
        assert again == costs, f"{arch} costs {_written(costs)} and then {_written(again)}"

    def test_costs_are_those_that_are_known_from_elsewhere(self) -> None:
        checked = 0
        for written, known in self.known_costs:
            checked += 1
            costs = self.space.costs(self.space.decode(written))
            for name, expected in known.items():
                fits = name in costs and math.isclose(costs[name], expected, rel_tol=1e-9)
                assert fits, (
                    f"{name}: costs say {_number(costs.get(name))}, known_costs say "
                    f"{_number(expected)}, of {json.dumps(written)}"
                )
        if not checked and not self.space.supernet:
            warnings.warn(
                f"nothing checks the costs of {self.space.name}: it has no supernet. Give "
                "`known_costs`, or its networks to `NetworkConformance`",
                stacklevel=1,
            )

    def test_costs_lie_within_the_exact_range(self) -> None:
        rng = random.Random("range")
        enumerable = self._encodings() <= ENUMERABLE
        archs = self.space.architectures() if enumerable else map(self.space.sample, [rng] * 500)
        costs = [(arch, self.space.costs(arch)) for arch in archs]
        for name in costs[0][1]:
            if not (ends := self.space.cost_range(name)):
                continue
            for arch, found in costs:
                assert ends[0] <= found[name] <= ends[1], (
                    f"{name}: cost_range says {_number(ends[0])} to {_number(ends[1])}, costs say "
                    f"{_number(found[name])} of {arch}"
                )
            if enumerable:
                reached = min(c[name] for _, c in costs), max(c[name] for _, c in costs)
                assert reached == ends, (
                    f"{name}: cost_range says {_number(ends[0])} to {_number(ends[1])}, all "
                    f"architectures have {_number(reached[0])} to {_number(reached[1])}"
                )

    @pytest.mark.parametrize("metric", ["macs", "params"])
    def test_samples_lie_within_limits(self, metric: str) -> None:
        rng = random.Random(0)
        usual = sorted(self.space.costs(self.space.sample(rng))[metric] for _ in range(20))
        low, high = usual[5], usual[15]
        for minimum, maximum in ((None, high), (low, None), (low, high)):
            arch = self.space.sample_within(rng, [(metric, minimum, maximum)])
            cost = self.space.costs(arch)[metric]
            assert (minimum or cost) <= cost <= (maximum or cost), (
                f"sample_within drew {arch} with {metric} {_number(cost)}, the limits were "
                f"{_number(minimum)} to {_number(maximum)}"
            )

    def test_impossible_limits_are_explained(self) -> None:
        with pytest.raises(NothingFeasible, match=r"macs.*\d.*limits"):
            self.space.sample_within(random.Random(0), [("macs", None, 1)])

    # -- moving about -----------------------------------------------------------------------

    @many
    @given(st.data(), st.integers(0, 2**32))
    def test_variations_are_legal(self, data: st.DataObject, seed: int) -> None:
        a, b = (data.draw(architectures(self.space)) for _ in range(2))
        rng = random.Random(seed)
        variations = [self.space.mutate(a, rng, rate) for rate in (0.1, 1.0)]
        variations.append(self.space.mutate_one(a, rng))
        for arch in [*variations, self.space.crossover(a, b, rng), self.space.sample(rng)]:
            self._check_legal(arch)
        for name, same in (
            ("mutate at rate 0", self.space.mutate(a, rng, 0.0)),
            ("crossover with itself", self.space.crossover(a, a, rng)),
        ):
            assert same == a, f"{name} turns {a} into {same}"

    @many
    @given(st.data())
    def test_neighbours_are_other_legal_architectures(self, data: st.DataObject) -> None:
        arch = data.draw(architectures(self.space))
        neighbours = self.space.neighbours(arch)
        assert neighbours, f"{arch} has no neighbours"
        assert arch not in neighbours, f"{arch} is among its own neighbours"
        count = len({*neighbours})
        assert count == len(neighbours), f"{len(neighbours)} neighbours of {arch}, {count} differ"
        for neighbour in neighbours:
            self._check_legal(neighbour)

    def test_sampling_depends_on_the_generator_alone_and_reaches_every_option(self) -> None:
        once, again = ([self.space.sample(rng) for _ in range(500)] for rng in _twins())
        differing = [f"{a} and {b}" for a, b in zip(once, again, strict=True) if a != b][:1]
        assert not differing, f"equal generators draw {differing[0]}"
        for v in self.space.variables:
            never = {*v.options} - {gene for arch in once for gene in arch[v.name]}
            assert not never, f"500 samples never have {v.name} = {sorted(map(str, never))}"

    def test_size_counts_every_architecture_once(self) -> None:
        size, encodings = self.space.size(), self._encodings()
        assert 0 < size <= encodings, f"size says {size:,}, there are {encodings:,} encodings"
        if encodings <= ENUMERABLE:
            listed = list(self.space.architectures())
            count = len({*listed})
            assert count == len(listed), f"architectures lists {len(listed):,}, {count:,} differ"
            assert count == size, f"size says {size:,}, architectures lists {count:,}"

    # -- as JSON ---------------------------------------------------------------------------

    @pytest.mark.parametrize("garbage", [None, 3, "text", [], {}, [[]], {"unheard of": 1}, True])
    def test_garbage_is_refused(self, garbage: object) -> None:
        with pytest.raises(InvalidArchitecture):
            self.space.decode(garbage)

    @many
    @given(st.data())
    def test_no_wrong_value_is_coerced(self, data: st.DataObject) -> None:
        answer = self.space.encode(data.draw(architectures(self.space)))
        holder, place = data.draw(st.sampled_from(leaves_of(answer)))
        for impostor in impostors_of(holder[place]):
            holder[place] = impostor
            problems: tuple[str, ...] = ()
            try:
                read = self.space.decode(answer)
            except InvalidArchitecture as error:
                problems, read = error.problems, None
            assert read is None, f"{json.dumps(answer)} is no architecture, and is read as {read}"
            assert problems, f"{json.dumps(answer)} is refused without a reason"

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
        named = [p for p in error.value.problems if "nonsense" in p]
        assert len(named) >= 2, f"two values of {json.dumps(answer)} are wrong; named: {named}"

    @many
    @given(st.data())
    def test_schema_admits_what_it_writes(self, data: st.DataObject) -> None:
        arch = data.draw(architectures(self.space))
        schema = json.loads(json.dumps(self.space.schema()))
        written = self.space.encode(arch)
        assert matches(schema, written), (
            f"the schema does not admit {json.dumps(written)}: {json.dumps(schema)}"
        )
        assert not matches(schema, {}), f"the schema admits an empty object: {json.dumps(schema)}"

    # -- towards a language model -----------------------------------------------------------

    @pytest.mark.parametrize("names", get_args(Names))
    @many
    @given(st.data())
    def test_a_model_reads_what_it_may_write(self, names: Names, data: st.DataObject) -> None:
        dialect = dialect_of(self.space, names, 1)
        arch = data.draw(architectures(self.space))
        written = json.loads(json.dumps(dialect.encode(arch)))
        read = dialect.decode(written)
        assert read == arch, f"{arch} is told as {json.dumps(written)} and read as {read}"
        schema = json.loads(json.dumps(dialect.schema()))
        admitted = matches(schema, written)
        assert admitted, f"the schema of {names} names does not admit {json.dumps(written)}"

    @pytest.mark.parametrize("names", get_args(Names))
    def test_a_description_shows_every_option_and_a_legal_example(self, names: Names) -> None:
        dialect = dialect_of(self.space, names, 1)
        text = description(dialect)
        for word in dialect.words.values():
            missing = [label for label in word.labels.values() if str(label) not in text]
            assert not missing, f"the text does not tell the options {missing} of {word.label}"
        examples = re.findall(r"\{.*\}", text)
        legal = any(_is_legal(example, dialect) for example in examples)
        assert legal, f"no example in the text is legal: {examples}"

    def test_a_description_is_reordered_by_a_seed_alone(self) -> None:
        dialect = dialect_of(self.space)
        texts = [description(dialect.reordered(seed)) for seed in range(5)]
        again = [description(dialect.reordered(seed)) for seed in range(5)]
        assert texts == again, "one order_seed is told in two ways"
        assert len({*texts}) > 1, (
            "the text is the same for five order_seeds: list options by dialect.told(word)"
        )

    def _encodings(self) -> int:
        return math.prod(len(v.options) ** v.count for v in self.space.variables)

    def _changed(self, arch: Architecture, name: str, place: int, option: Any) -> Architecture:
        genes = self.space.full_genes(arch, random.Random(str(arch)))
        genes[name][place] = option
        return self.space.build(genes)

    def _costs_elsewhere(self, name: str, place: int, options: tuple[Any, Any]) -> bool:
        """Tell whether some architecture's costs depend on which of two options a gene has."""
        rng = random.Random("elsewhere")
        for _ in range(CONTEXTS):
            arch = self.space.sample(rng)
            one, other = (self._changed(arch, name, place, option) for option in options)
            if self.space.costs(one) != self.space.costs(other):
                return True
        return False

    def _check_legal(self, arch: Architecture) -> None:
        read = self.space.decode(self.space.encode(arch))
        assert read == arch, f"{arch} is no architecture of the space: it is read as {read}"


def _is_legal(text: str, dialect: Dialect) -> bool:
    try:
        dialect.decode(json.loads(text))
    except (json.JSONDecodeError, InvalidArchitecture):
        return False
    return True


def _written(costs: Costs) -> str:
    return ", ".join(f"{name} {_number(cost)}" for name, cost in costs.items())


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:,.15g}"


def _twins() -> tuple[random.Random, random.Random]:
    return random.Random(0), random.Random(0)
