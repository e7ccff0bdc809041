"""A project outside of this one gets failures that it can read: what is wrong, with the numbers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

CHANGE = "test_a_change_that_costs_something_elsewhere_does_so_everywhere"
KEYS = "test_keys_are_distinct_and_fit_into_file_names"
TWINS = "test_no_two_architectures_are_one_network"
COSTS = "test_costs_are_those_of_the_network"
KNOWN = "test_costs_are_those_that_are_known_from_elsewhere"
ARCH = r"\{\"towers\":\S+\}"
FAILURES = {
    ("TestRunsTogether", KEYS): rf"one key for two architectures: \S+ is {ARCH} and {ARCH}\n",
    ("TestKeeps", CHANGE): rf"one network twice\? {ARCH} and {ARCH} differ in kernel\[1\] and cost "
    r"the same, macs 1,292, params 32",
    ("TestKeepsSupernet", TWINS): rf"one network twice: {ARCH} and {ARCH} have equal costs",
    ("TestUnsortedSupernet", TWINS): rf"one network twice: {ARCH} and {ARCH} have equal costs",
    ("TestMiscounts", COSTS): rf"macs: costs say 1,036, torch counts 1,292, of {ARCH}\n",
    ("TestOnlyListed", KNOWN): r"macs: costs say 74,508, known_costs say 82,700, of \{",
    ("TestNetworksOfTheTable", COSTS): r"macs: costs say 1,036, torch counts 1,292, of \{",
}
PASSES = [
    *(("TestRightSpace", name) for name in (CHANGE, KEYS)),
    *(("TestRightSupernet", name) for name in (TWINS, COSTS)),
    ("TestRightTable", KNOWN),
    ("TestUnsorted", CHANGE),  # a swap shows in networks alone
    ("TestUnchecked", KNOWN),
]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Run the suites of an outside project as its author would."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(Path(__file__).with_name("outside.py"), folder / "test_outside.py")
    tests = [f"test_outside.py::{suite}::{name}" for suite, name in [*FAILURES, *PASSES]]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", *tests],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout


def test_what_is_wrong_fails_and_what_is_right_passes(output: str) -> None:
    failed = set(re.findall(r"^FAILED test_outside\.py::(\w+)::(\w+)", output, re.MULTILINE))
    assert failed == {*FAILURES}, output
    assert f"{len(FAILURES)} failed, {len(PASSES)} passed" in output


@pytest.mark.parametrize(("suite", "name"), FAILURES, ids=[suite for suite, _ in FAILURES])
def test_a_failure_is_short_and_says_what_is_wrong_with_the_numbers(
    output: str, suite: str, name: str
) -> None:
    report = re.split(r"\n_+ Test|\n=+ ", output.partition(f" {suite}.{name} ")[2])[0]
    assert re.search(r"E +AssertionError: " + FAILURES[suite, name], report), report
    assert len(report.splitlines()) < 60, report


def test_a_space_whose_costs_nothing_checks_is_told_how_to_check_them(output: str) -> None:
    warning = output.partition("warnings summary")[2]
    assert "nothing checks the costs of towers: it has no supernet. Give `known_costs`" in warning
