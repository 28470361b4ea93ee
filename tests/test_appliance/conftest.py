from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.context import Deps
from appliance.ledger import Ledger
from appliance.orders import OrderPath
from tests.fakes.rehearsal import Rehearsal, calm


@pytest.fixture
def life(tmp_path: Path) -> Rehearsal:
    """An armed device at 09:10 of D: A 40 -> -201 (a flip), B 0 -> 602, C -30 -> 0, D 0 -> 50."""
    made = calm(tmp_path)
    made.to("09:10")
    return made


@pytest.fixture
def deps(life: Rehearsal) -> Iterator[Deps]:
    opened = life.open()
    yield opened
    opened.close()


@pytest.fixture
def path(deps: Deps) -> OrderPath:
    return OrderPath.of(deps)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "state" / "ledger.sqlite") as opened:
        yield opened
