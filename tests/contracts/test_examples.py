"""The examples in the docstrings of what watches a device say what the code does."""

from __future__ import annotations

import doctest

import pytest

from execution import attribution
from portfolio import factors
from signals import ic, sequential, so_far


@pytest.mark.parametrize("module", [attribution, factors, ic, sequential, so_far], ids=lambda module: module.__name__)
def test_the_examples_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.failed == 0 and result.attempted > 0
