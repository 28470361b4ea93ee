"""The examples in the docstrings of what watches a device say what the code does."""

from __future__ import annotations

import doctest

import pytest

from execution import attribution
from portfolio import factors
from signals.monitoring import running_stats, sequential
from signals.scoring import ic


@pytest.mark.parametrize("module", [attribution, factors, ic, sequential, running_stats], ids=lambda module: module.__name__)
def test_the_examples_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.failed == 0 and result.attempted > 0
