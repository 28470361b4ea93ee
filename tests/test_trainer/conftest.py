"""Spares a training the pictures of its report where no test of the module looks at them, and commands what they repeat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO
from unittest import mock

import pytest

from tests.fakes.repeated import worked_out_once

DRAWN = ("frontier", "importance", "page", "stacking", "tasks", "train", "volatility")


@pytest.fixture(scope="package", autouse=True)
def repeated() -> Iterator[None]:
    """Work out once what hundreds of commands in one process would each work out again."""
    with worked_out_once():
        yield


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
