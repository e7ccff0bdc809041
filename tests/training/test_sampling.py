import math
from collections import Counter
from itertools import combinations

import pytest
from scipy.stats import chisquare

from collm_nas.spaces.autoformer.space import AutoFormer
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.spaces.shufflenet.space import ShuffleNet
from collm_nas.training.reference_subnets import largest, smallest
from collm_nas.training.sampling import (
    CostBins,
    Fixed,
    Sandwich,
    StrictFairness,
    Uniform,
    draw_size,
)
from tests.training.recipes import searchspace

SPOS_BINS = CostBins(minimum=290e6, maximum=360e6, bins=7)
RULES = [
    (Uniform(subnets=3), NASBench201()),
    (Uniform(subnets=2, choices={"e": [6], "d": [4]}), MobileNet(width=1.0)),
    (SPOS_BINS, ShuffleNet()),
    (StrictFairness(), ShuffleNet()),
    (Sandwich(random=2), AutoFormer()),
]
rules = pytest.mark.parametrize(("rule", "space"), RULES, ids=lambda x: type(x).__name__)


def assert_equally_likely(counts, options):
    assert set(counts) == set(options)
    assert chisquare([counts[o] for o in options]).pvalue > 1e-3


@rules
def test_a_draw_depends_on_seed_and_step_alone(rule, space):
    forwards = {step: rule.draw(space, 7, step) for step in range(20)}
    backwards = {step: rule.draw(space, 7, step) for step in reversed(range(20))}
    assert forwards == backwards
    assert len(set(forwards.values())) == 20
    assert forwards[3] != rule.draw(space, 8, 3)


@rules
def test_drawn_subnets_are_architectures_of_the_space(rule, space):
    for step in range(20):
        for arch in rule.draw(space, 0, step):
            assert space.decode(space.encode(arch)) == arch


def test_every_gene_is_uniform():
    space = NASBench201()
    drawn = [arch for step in range(1500) for arch in Uniform(subnets=2).draw(space, 0, step)]
    for edge in range(6):
        assert_equally_likely(
            Counter(arch["op"][edge] for arch in drawn), space.variables[0].options
        )


def test_genes_are_independent():
    space = NASBench201()
    (options,) = (v.options for v in space.variables)
    drawn = [Uniform().draw(space, 0, step)[0]["op"] for step in range(5000)]
    for a, b in combinations(range(6), 2):
        pairs = Counter((ops[a], ops[b]) for ops in drawn)
        assert_equally_likely(pairs, [(x, y) for x in options for y in options])


def test_depths_of_vision_transformers_are_uniform_and_lists_as_long_as_the_depth():
    space = AutoFormer("small")
    drawn = [Uniform().draw(space, 0, step)[0] for step in range(3000)]
    assert_equally_likely(Counter(a["depth"][0] for a in drawn), (12, 13, 14))
    assert_equally_likely(Counter(a["embed_dim"][0] for a in drawn), (320, 384, 448))
    assert_equally_likely(Counter(a["num_heads"][11] for a in drawn), (5, 6, 7))
    assert all(len(a["mlp_ratio"]) == a["depth"][0] for a in drawn)


def test_the_kernel_phase_of_once_for_all_varies_kernels_alone():
    space = MobileNet(width=1.0)
    rule = Uniform(subnets=1, choices={"d": [4], "e": [6]})
    drawn = [rule.draw(space, 0, step)[0] for step in range(1500)]
    assert {a["d"] for a in drawn} == {(4,) * 5}
    assert {a["e"] for a in drawn} == {(6,) * 20}
    for block in (0, 19):
        assert_equally_likely(Counter(a["ks"][block] for a in drawn), (3, 5, 7))


def test_the_subnets_of_a_step_are_different_draws():
    space = MobileNet(width=1.0)
    assert len(set(Uniform(subnets=4).draw(space, 0, 0))) == 4


def test_all_bins_of_costs_are_equally_likely_and_the_upper_end_belongs_to_none():
    space = ShuffleNet()
    macs = [space.costs(SPOS_BINS.draw(space, 0, step)[0])["macs"] for step in range(2100)]
    assert min(macs) >= 290e6
    assert max(macs) < 360e6
    assert_equally_likely(Counter(int(m // 10e6) for m in macs), range(29, 36))


def test_a_bin_is_uniform_inside():
    space = searchspace("shufflenet_tiny")
    low, high = 240_000, 262_000
    inside = [a for a in space.architectures() if low <= space.costs(a)["macs"] < high]
    rule = CostBins(low, high, bins=1)
    drawn = Counter(rule.draw(space, 0, step)[0] for step in range(10 * len(inside)))
    counts = [drawn[a] for a in inside]
    assert sum(counts) == 10 * len(inside), "nothing outside was drawn"
    assert chisquare(counts).pvalue > 1e-3


def test_strict_fairness_trains_every_option_of_every_block_once_a_step():
    space = ShuffleNet()
    for step in range(50):
        subnets = StrictFairness().draw(space, 0, step)
        assert len(subnets) == 4
        for block in range(20):
            assert sorted(a["ops"][block] for a in subnets) == [0, 1, 2, 3]


def test_strict_fairness_combines_options_at_random():
    space = ShuffleNet()
    firsts = Counter(StrictFairness().draw(space, 0, step)[0]["ops"][:2] for step in range(1600))
    assert_equally_likely(firsts, [(a, b) for a in range(4) for b in range(4)])


def test_a_sandwich_is_the_largest_the_smallest_and_random_ones():
    space = MobileNet(width=1.0)
    first, second, *drawn = Sandwich(random=2).draw(space, 0, 5)
    assert first == largest(space, {})
    assert second == smallest(space, {})
    assert len({first, second, *drawn}) == 4


def test_a_fixed_architecture_is_drawn_every_step():
    space = NASBench201()
    (arch,) = Uniform().draw(space, 0, 0)
    assert {Fixed(arch).draw(space, seed, step) for seed in range(3) for step in range(3)} == {
        (arch,)
    }


def test_one_size_of_images_is_drawn_for_each_step():
    sizes = range(128, 228, 4)
    drawn = Counter(draw_size(sizes, 0, step) for step in range(5000))
    assert_equally_likely(drawn, sizes)
    assert [draw_size(sizes, 1, s) for s in range(9)] == [draw_size(sizes, 1, s) for s in range(9)]


@pytest.mark.parametrize(
    ("rule", "space", "expected"),
    [
        (
            Uniform(choices={"k": [3], "d": [5], "e": []}),
            MobileNet(),
            [
                "key.choices.k is no variable of mobilenet: it has r, d, ks, e",
                "key.choices.d must be some of [2, 3, 4], got [5]",
                "key.choices.e must be some of [3, 4, 6], got []",
            ],
        ),
        (CostBins(2, 1, 3), ShuffleNet(), ["a minimum below its maximum"]),
        (CostBins(1, 2, 1, "time"), ShuffleNet(), ["key.metric must be one of macs, params"]),
        (
            SPOS_BINS,
            searchspace("shufflenet_tiny"),
            [f"key: bin {n} of 7 is empty: no architecture" for n in range(7)],
        ),
        (StrictFairness(), MobileNet(), ["key: strict fairness needs independent blocks"]),
        (StrictFairness(), AutoFormer(), ["key: strict fairness needs independent blocks"]),
    ],
)
def test_a_rule_says_all_that_keeps_it_from_a_space(rule, space, expected):
    problems = rule.problems(space, "key")
    assert len(problems) == len(expected)
    for problem, words in zip(problems, expected, strict=True):
        assert words in problem


@rules
def test_a_rule_that_fits_has_no_problems(rule, space):
    assert rule.problems(space, "key") == []


def test_empty_bins_say_what_the_space_has_instead():
    (problem,) = CostBins(1e9, 2e9, 1).problems(ShuffleNet(), "recipe.phases[0].sampling")
    assert "the smallest has 270,359,360 and the largest 398,609,216" in problem


def test_bins_work_where_only_rejection_samples():
    space = MobileNet(width=1.0)
    rule = CostBins(150e6, 250e6, bins=2)
    assert rule.problems(space, "key") == []
    macs = [space.costs(rule.draw(space, 0, step)[0])["macs"] for step in range(20)]
    assert all(150e6 <= m < 250e6 for m in macs)
    assert math.isclose(sum(m < 200e6 for m in macs), 10, abs_tol=7)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Uniform(subnets=0), "Uniform: subnets must be at least 1, got 0"),
        (lambda: Sandwich(random=-1), "Sandwich: random must be at least 0, got -1"),
        (lambda: CostBins(1, 2, 0), "CostBins: bins must be at least 1, got 0"),
        (lambda: CostBins(-1, 2, 1), "CostBins: minimum must be at least 0, got -1"),
    ],
)
def test_numbers_that_draw_nothing_are_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()
