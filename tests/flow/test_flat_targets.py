"""F49: targets that are zero for every name: nothing is bought, and what is held is closed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from execution import morning
from tests.fakes.device import Workbench
from tests.fakes.store import Published

Make = Callable[..., Workbench]


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called on, every target is zero."""
    build = morning.build

    def zero(*arguments: Any, **named: Any) -> Any:
        targets = build(*arguments, **named)
        return replace(targets, weights=np.zeros_like(targets.weights))

    return lambda: monkeypatch.setattr(morning, "build", zero)


def test_zero_targets_on_an_empty_book_send_nothing_and_the_day_ends_well(
    make: Make, published: Published, flat: Callable[[], None]
) -> None:
    """F49: the plan says that the book stays as it is."""
    bench, day = make(published), str(published.sessions(1)[0])
    flat()
    assert bench("arm", "--session", day, "--yes").code == 0
    done = bench("run-day", "--session", day, "--json")
    assert done.code == 0, done.out
    assert bench.rows("SELECT count(*) FROM targets WHERE weight <> 0") == [(0,)]
    assert bench.rows("SELECT count(*) FROM intents") == [(0,)]
    assert bench("status").code == 0


def test_zero_targets_on_a_held_book_close_it_once_and_open_nothing(make: Make, published: Published, flat: Callable[[], None]) -> None:
    """F49: within the limit of turnover every order lowers what is held, and both books agree on nothing held."""
    first, second = map(str, published.sessions(2))
    bench = make(published)
    assert bench("arm", "--session", first, "--yes").code == 0
    assert bench("run-day", "--session", first).code == 0
    (held,) = bench.rows("SELECT count(*) FROM positions WHERE session = ? AND phase = 'close'", first)[0]
    assert held > 0
    flat()
    done = bench("run-day", "--session", second, "--json")
    assert done.code == 0, done.out
    sent = bench.rows("SELECT count(*), count(DISTINCT symbol), sum(posts) FROM intents WHERE session = ?", second)
    assert sent == [(held, held, held)]
    assert bench.rows("SELECT count(*) FROM positions WHERE session = ? AND phase = 'close'", second) == [(0,)]
    assert bench("status").code == 0
