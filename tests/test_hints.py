"""Hints after a mistyped override: for the groups that were chosen, and for wrong words only."""

import pytest

from collm_nas.cli.hints import near_matches
from tests.conftest import CONF


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["limts.macs=5"], ["limts.macs: did you mean limits.macs?"]),
        (["serchspace=nasbench201"], ["serchspace: did you mean searchspace?"]),
        (["strategy=randm"], ["strategy=randm: did you mean strategy=random?"]),
        (["strategy=random,colm"], ["strategy=colm: did you mean strategy=collm?"]),
        (["+llm@my_llm=gtp4"], ["+llm@my_llm=gtp4: did you mean +llm@my_llm=gpt4?"]),
        (["searchspace=mobilenet", "searchspace.width=1.0"], []),
        (["searchspace=mobilenet", "searchspace.width=1.0", "sed=3"], ["sed: did you mean seed?"]),
        (
            ["searchspace=mobilenet", "searchspace.widht=1.0"],
            ["searchspace.widht: did you mean searchspace.width?"],
        ),
        (
            ["strategy=evolution", "strategy.populaton=3"],
            ["strategy.populaton: did you mean strategy.population?"],
        ),
        (["strategy=random,gp", "strategy.exploration=3"], []),
        (["experiment=memory_probe", "hydra.verbose=true", "+new.key=3", "~strategy.seed"], []),
        (
            ["searchspace.width=1.0"],
            ["searchspace.width: there is no such setting; searchspace has _target_, dataset"],
        ),
    ],
)
def test_wrong_words_are_corrected_and_right_ones_are_not(typed, told):
    assert near_matches(typed, CONF, "search") == told
