"""Spares a training the pictures of its report where no test of the module looks at them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO
from unittest import mock

import pytest

DRAWN = ("frontier", "importance", "page", "stacking", "tasks", "train", "volatility")


@pytest.fixture(scope="module", autouse=True)
def pictures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every picture is empty, but in the modules named above: to draw them is a third of a small training."""
    if request.module.__name__.rpartition("test_")[2] in DRAWN:
        yield
        return
    from matplotlib.figure import Figure

    def blank(figure: Figure, file: BinaryIO, **_: object) -> None:
        file.write(b"\x89PNG")

    with mock.patch.object(Figure, "savefig", blank):
        yield
