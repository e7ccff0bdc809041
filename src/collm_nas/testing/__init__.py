"""Test suites for what others add; their asserts explain themselves, in any project."""

import pytest

pytest.register_assert_rewrite(
    "collm_nas.testing.conformance",
    "collm_nas.testing.network_conformance",
    "collm_nas.testing.networks",
    "collm_nas.testing.part_conformance",
)
