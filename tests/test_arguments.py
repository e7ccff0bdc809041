"""A node is held against the annotations of what it names, and nothing is called."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, runtime_checkable

import numpy as np
import pytest
from annotated_types import Ge, Le, MinLen

from collm_nas.core.arguments import checked, key_of, node_problems, problems
from collm_nas.core.ranges import Count, MaybeInfinite, Share, Text
from collm_nas.core.search import Budget
from collm_nas.evaluator.table import TabularEvaluator
from collm_nas.llm.ledger import Caps
from collm_nas.llm.openai import OpenAIChat
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.spaces.shufflenet.space import ShuffleNet
from collm_nas.strategy.collm import CoLLM
from collm_nas.training.optimizer import SGD

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


@runtime_checkable
class Rule(Protocol):
    def draw(self) -> int: ...


@dataclass(frozen=True)
class Fair:
    """A part of its own, with a setting."""

    subnets: Annotated[int, Ge(1)] = 1

    def draw(self) -> int:
        raise AssertionError("nothing is called")


class Example:
    def __init__(
        self,
        space: Unknown,
        count: Annotated[int, Ge(1), Le(1_000_000)] = 1,
        rate: Share | Mapping[str, Share] = 0.5,
        target: MaybeInfinite = math.inf,
        how: Literal["fast", "slow"] = "fast",
        name: Text | None = None,
        on: bool = True,
        sizes: Annotated[Sequence[int], MinLen(1)] = (1,),
        rule: Rule | None = None,
        rules: Sequence[Rule] = (),
        foreign: Unknown = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        raise AssertionError("nothing is called")


def check(**settings: Any) -> list[str]:
    found = node_problems({"_target_": f"{__name__}.Example", **settings}, given=["space"])
    return [problem.told(key_of(problem.path)) for problem in found]


class Based:
    """A class whose attribute has the name of an argument, but says less."""

    count: int


class Own(Based):
    def __init__(self, count: Count) -> None:
        raise AssertionError("nothing is called")


@dataclass(frozen=True)
class Wider(Caps):
    """Inherits a setting from a class of another module."""

    name: Text = "x"


class Unlabelled(Protocol):
    """A protocol that cannot be asked whether something fits it."""

    def draw(self) -> int: ...


@checked
class SelfMade:
    """What a user writes in a notebook."""

    def __init__(self, space: object, repeats: Count, rule: Unlabelled | None = None) -> None:
        self.repeats = repeats


@pytest.fixture(autouse=True)
def named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tests.test_arguments", sys.modules[__name__])


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("count", "abc", "count must be a whole number, got 'abc'"),
        ("count", "5", "count must be a whole number, got '5' (a text: without quotes it is a num"),
        ("count", True, "count must be a whole number, got True"),
        ("count", 1.0, "count must be a whole number, got 1.0"),
        ("count", None, "count must be a whole number, got None"),
        ("count", 0, "count must be at least 1, got 0"),
        ("count", 10**30, "count must be at most 1,000,000, got 1000000"),
        ("count", "???", "count is not set: count=…"),
        ("rate", 1.5, "rate must be at most 1, got 1.5"),
        ("rate", math.nan, "rate must be"),
        ("rate", {"a": -1}, "rate.a must be at least 0, got -1"),
        ("rate", "1e-3", "rate must be a number or a mapping, got '1e-3' (a text"),
        ("rate", [], "rate must be a number or a mapping, got []"),
        ("target", math.nan, "target must be at least 0, got nan"),
        ("how", "", "how must be 'fast' or 'slow', got ''"),
        ("name", 5, "name must be text, got 5 (in quotes it is text"),
        ("name", "", "name must be text, not empty, got ''"),
        ("on", 1, "on must be true or false, got 1"),
        ("on", "yes", "on must be true or false, got 'yes'"),
        ("sizes", [], "sizes must be a list of at least 1, got []"),
        ("sizes", [3, "x"], "sizes[1] must be a whole number, got 'x'"),
        ("sizes", "35", "sizes must be a list, got '35'"),
        ("rule", 5, "rule must be a node with a `_target_`, got 5"),
        ("extra", 5, "extra must be a mapping, got 5"),
        ("cuont", 5, "cuont is no setting; did you mean count?"),
        ("zzz", 5, "zzz is no setting; there are count, "),
    ],
)
def test_what_does_not_fit_is_told(setting, value, told):
    (problem,) = check(**{setting: value})
    assert problem.startswith(told)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"count": 3, "rate": 1, "target": math.inf, "how": "slow", "name": None, "on": False},
        {"rate": {"a": 0.1}, "sizes": [1, 2], "rule": None, "extra": {"x": {"y": [1]}}},
        {"rule": {"_target_": f"{__name__}.Fair", "subnets": 2}, "foreign": object},
    ],
)
def test_what_fits_is_not_told(settings):
    assert check(**settings) == []


def test_nodes_within_are_held_against_their_own_class():
    fair = {"_target_": f"{__name__}.Fair"}
    found = check(
        rule={**fair, "subnets": 0},
        rules=[fair, {**fair, "subnet": 3}, {"_target_": "collm_nas.nowhere.Rule"}, 7],
        count=0,
    )
    assert [problem.split(" ")[0] for problem in found] == [
        "rule.subnets",
        "rules[3]",
        "rules[1].subnet",
        "rules[2]._target_",
        "count",
    ]


def test_an_annotation_is_that_of_the_argument_and_means_what_it_means_where_it_is_written():
    for target, settings, told in (
        ("Own", {"count": 0}, "must be at least 1, got 0"),
        ("Wider", {"calls": 1, "usd": -1.0}, "must be at least 0, got -1.0"),
        ("Wider", {"name": ""}, "must be text, not empty, got ''"),
    ):
        (problem,) = node_problems({"_target_": f"{__name__}.{target}", **settings})
        assert problem.message == told


@pytest.mark.parametrize("target", ["", None, 5, "os", "os.nothing", "nowhere.X", "a b"])
def test_a_target_that_names_nothing_is_told(target):
    (problem,) = node_problems({"_target_": target})
    assert problem.path == ("_target_",)


def test_a_missing_argument_is_told_unless_the_program_gives_it():
    (problem,) = node_problems({"_target_": f"{__name__}.Example"})
    assert problem.told("space") == "space is not set: space=…"


def test_a_mapping_is_a_dataclass_only_where_a_config_is_read():
    """Called with a mapping, a class would get no object."""
    fitting = {"prompting": {"names": "opaque"}}
    (problem,) = problems(CoLLM, fitting, partial=True)
    assert problem.message.startswith("must be a node")
    assert not problems(CoLLM, fitting, partial=True, root=True)
    (problem,) = problems(CoLLM, {"prompting": {"names": "x"}}, partial=True, root=True)
    assert problem.path == ("prompting", "names")


@pytest.mark.parametrize("value", [5, "x", [], {}, {"a": 1}, True, math.nan])
def test_an_object_is_needed_where_one_is_declared(value):
    node = {"_target_": f"{__name__}.SelfMade", "space": 1, "repeats": 1, "rule": value}
    (problem,) = node_problems(node)
    assert problem.told("rule").startswith("rule must be a node with a `_target_`, got ")


@pytest.mark.parametrize(
    ("setting", "told"),
    [("count", "must be a whole number, got {"), ("sizes", "must be a list, got {")],
)
def test_an_object_is_refused_where_none_can_be(setting, told):
    (problem,) = check(**{setting: {"_target_": f"{__name__}.Fair"}})
    assert problem.startswith(f"{setting} {told}")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: NASBench201("cifar11"), "NASBench201: dataset must be 'cifar10', 'cifar100' or "),
        (lambda: MobileNet(width=-1), "MobileNet: width must be over 0, got -1"),
        (lambda: ShuffleNet(repeats=0), "ShuffleNet: repeats must be a list, got 0"),
        (lambda: SelfMade(None, 0), "SelfMade: repeats must be at least 1, got 0"),
        (lambda: SelfMade(None, repeats="3"), "SelfMade: repeats must be a whole number, got '3'"),
        (lambda: TabularEvaluator(NASBench201(), ""), "TabularEvaluator: table must be text, not "),
        (lambda: OpenAIChat("", retries=-1), "OpenAIChat: model must be text, not empty, got ''"),
        (lambda: SGD(decay="some"), "SGD: decay must be 'all', 'weights', "),
        (lambda: Budget(0, -1), "Budget: rounds must be at least 1, got -1"),
    ],
)
def test_a_program_is_told_the_same(make, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        make()


def test_a_program_may_give_objects_and_keeps_its_own_errors():
    assert SelfMade(object(), np.int64(3), Fair()).repeats == 3
    with pytest.raises(TypeError, match="repeats"):
        SelfMade(object())
    assert inspect.signature(SelfMade).parameters.keys() == {"space", "repeats", "rule"}
