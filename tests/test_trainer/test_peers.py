"""What funds and the sector say of an event: betas and moves by hand, nothing after the bar, and a recipe that asks for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from signals.errors import BadConfig, FixInput
from signals.market.bars import CLASSIFIED, Bars
from signals.sleeves.events import EVENTS, OF_PEERS, event_figures
from tests.fakes.curated import curate
from tests.fakes.event_market import known_panel
from trainer.__main__ import app
from trainer.samples.peers import beta_to, peer_figures
from trainer.tasks.recipes import agreed, config_of, recipe_named


@pytest.fixture(scope="module")
def bars() -> Bars:
    """A generated market whose last names are funds, all of them half in one sector and half in another."""
    made, _ = known_panel(2, 40, 600, 0.0)
    code = np.broadcast_to((np.arange(40) % 2).astype(np.float64), made.close.shape)
    return replace(made, symbols=(*made.symbols[:-3], "SPY", "TLT", "VXX"), joined={CLASSIFIED[0]: code})


def test_a_beta_is_that_of_the_regression_and_is_missing_where_either_is(bars: Bars) -> None:
    spy, rng = bars.total_return[:, -3:-2], np.random.default_rng(1)
    own = np.column_stack([1.5 * spy[:, 0], -0.5 * spy[:, 0] + rng.normal(0.0, 0.01, len(spy))])
    own[:100, 1] = np.nan
    found = beta_to(own, spy)
    assert found[-1, 0] == pytest.approx(1.5) and np.isfinite(found[150:]).all()
    assert np.isnan(found[:47]).all() and np.isnan(found[:147, 1]).all(), "80 % of 60 sessions are asked for"
    slope = np.polyfit(spy[-60:, 0], own[-60:, 1], 1)[0]
    assert found[-1, 1] == pytest.approx(slope)


def test_figures_are_of_events_alone_signed_by_the_side_and_missing_where_a_fund_is(bars: Bars) -> None:
    found, side = peer_figures(bars), event_figures(bars)["event_side"]
    assert tuple(found) == tuple(OF_PEERS) and np.isnan(found["event_hyg_20"]).all(), "there is no HYG"
    seen = np.isfinite(found["event_tlt_20"])
    assert seen.sum() > 500 and np.isfinite(side[seen]).all()
    t, column = (int(place[-1]) for place in np.nonzero(seen))
    tlt = bars.total_return[:, -2]
    expected = side[t, column] * beta_to(bars.total_return, tlt[:, None])[t, column] * (np.prod(1.0 + tlt[t - 19 : t + 1]) - 1.0)
    assert found["event_tlt_20"][t, column] == pytest.approx(expected, abs=1e-8)
    moved = np.sign(bars.close - bars.open) * bars.close * bars.volume
    share = moved[t - 19 : t + 1, column].sum() / (bars.close * bars.volume)[t - 19 : t + 1, column].sum()
    assert found["event_signed_volume"][t, column] == pytest.approx(side[t, column] * share, abs=0.05)
    assert np.nanstd(found["event_beta_sector"]) > 0.0 and np.isfinite(found["event_vix_20"]).any()


def test_nothing_after_a_bar_enters_its_figures(bars: Bars) -> None:
    cut = 500
    early = bars.rows(0, cut)
    whole = peer_figures(bars)
    for name, panel in peer_figures(early).items():
        np.testing.assert_array_equal(panel, whole[name][:cut])


def test_the_sleeve_has_them_under_their_own_names_where_the_bars_do_and_funds_that_are_not_there_are_said(bars: Bars) -> None:
    given = EVENTS.given(peer_figures(bars))
    assert given.names[-len(OF_PEERS) :] == tuple(OF_PEERS) and EVENTS.shaped_as(given.spec).names == given.names
    plain = replace(bars, symbols=tuple(f"S{i:02d}" for i in range(40)), joined={})
    with pytest.raises(FixInput, match="no fund and no sector"):
        peer_figures(plain)


def test_a_recipe_that_asks_for_peers_which_the_dataset_lacks_is_refused_and_one_that_does_not_keeps_its_hash(tmp_path: Path) -> None:
    asked, plain = (config_of({"label": {"kind": "event_gate", **more}}, where="test") for more in ({"peers": True}, {}))
    assert "peers" not in plain.document()["label"] and asked.fingerprint() != plain.fingerprint()
    data, config = curate(tmp_path / "data"), tmp_path / "recipe.yml"
    config.write_text("label: {kind: event_gate, peers: true}\n")
    words = ["train", "--sleeve", "events", "--data", str(data), "--run", str(tmp_path / "run"), "--config", str(config)]
    answer = CliRunner().invoke(app, words)
    assert isinstance(answer.exception, FixInput) and "no fund and no sector" in str(answer.exception)
    with pytest.raises(BadConfig, match="of daily bars, not of minutes"):
        agreed(recipe_named("events"), config_of({"label": {"kind": "event_gate", "peers": True}, "minutes": {}}, where="test"))
