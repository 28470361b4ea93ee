"""A slice of the campaign against a lying broker: the lies that once moved money, each in a whole session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.__main__ import ALWAYS, Stage, control, prepare, strikes
from tests.hostile.day import ENDPOINTS, Ended, Strike, live
from tests.hostile.judging import broken_rules
from tests.hostile.lies import LIES

END = {end.name: end for end in ENDPOINTS}
SLICE = (
    Strike(END["submit"], "expired, nothing filled", times=ALWAYS),
    Strike(END["submit"], "filled, nothing filled"),
    Strike(END["submit"], "huge in every number", skip=2),
    Strike(END["submit"], "other ids"),
    Strike(END["orders"], "huge number", times=ALWAYS),
    Strike(END["account"], "money times ten", skip=2, times=ALWAYS),
    Strike(END["positions"], "no rows", skip=1, times=ALWAYS),
    Strike(END["look-up"], "404", times=ALWAYS),
    Strike(END["cancel-all"], "huge number"),
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, Ended]:
    """A device that has traded for two sessions, and its third one without a lie."""
    root = tmp_path_factory.mktemp("hostile")
    ready = prepare(root)
    return ready, control(ready, root)


@pytest.mark.parametrize("strike", SLICE, ids=str)
def test_no_lie_moves_money_and_none_is_silent(stage: tuple[Stage, Ended], strike: Strike, tmp_path: Path) -> None:
    """The lie is really told, and by the exchange's books nothing is sent twice, lost, or larger than it should be."""
    ready, honest = stage
    ended = live(ready.template, tmp_path / "device", ready.day, ready.following, strike)
    assert ended.struck > 0, "nothing was lied about"
    assert broken_rules(ended, honest) == []


def test_every_endpoint_meets_every_kind_of_lie() -> None:
    """The campaign's list is whole: at least forty kinds, each on every question of the device, in three places."""
    listed = strikes()
    assert len(LIES) >= 40
    assert {(s.endpoint.name, s.lie) for s in listed} == {(end.name, lie) for end in ENDPOINTS for lie in LIES}
    assert len(listed) == 3 * len(LIES) * len(ENDPOINTS)
