"""The options backtest: identities to the cent, both marks, expiry, exercise and assignment."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from signals.market.bars import days_array
from signals.market.sessions import xnys
from tests.fakes.option_market import Quoting, quoted, quotes_frame
from trainer.__main__ import app
from trainer.options.backtest import OptionBacktestConfig, OptionDay, option_backtest
from trainer.options.positions import positions
from trainer.options.surface import Surface, surface_of
from trainer.reports.options import backtest_report, surface_report

DAYS = days_array(xnys(date(2020, 3, 2), date(2020, 6, 30)).days)
EXPIRIES = [np.datetime64(day) for day in ("2020-03-20", "2020-04-17", "2020-05-15")]


def evenings(seed: int = 1, sessions: int = 24, *, drift: float = 0.0, deviations: float = 3.0, **how: Any) -> list[Surface]:
    rng = np.random.default_rng(seed)
    spots = np.round(100.0 * np.exp(np.cumsum(drift + 0.3 / np.sqrt(252) * rng.standard_normal(sessions))), 2)
    found = []
    for row, spot in enumerate(spots.tolist()):
        coming = [one for one in EXPIRIES if one > DAYS[row]]
        quoting = Quoting(rate=0.0, step=2.5, deviations=deviations, **how)
        chain = quoted("X", DAYS[row].astype(object), spot, 0.09, coming, quoting)
        found.append(surface_of(chain))
    return found


@pytest.fixture(scope="module")
def market() -> list[Surface]:
    return evenings()


def net(days: tuple[OptionDay, ...]) -> Decimal:
    return sum((one.net for one in days), Decimal(0))


@pytest.mark.parametrize("template", ["straddle", "vertical", "calendar"])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_every_days_profit_is_its_parts_and_the_change_of_value_to_the_cent(market: list[Surface], template: str, side: str) -> None:
    days = option_backtest(market, OptionBacktestConfig.model_validate({"template": template, "side": side, "contracts": 3}))
    before = Decimal(0)
    for one in days:
        assert one.gamma + one.theta + one.vega + one.residual == one.gross
        assert one.net == one.gross - one.spreads - one.fees - one.hedging == one.mid - before
        assert all(part == part.quantize(Decimal("0.01")) for part in (one.gross, one.costs, one.mid, one.liquidation))
        assert one.liquidation <= one.mid
        before = one.mid
    assert days[-1].mid == days[-1].liquidation == net(days) and days[-1].shares == 0
    assert sum(event.startswith("opened") for one in days for event in one.events) >= 4


def test_a_day_without_trades_earns_what_its_marks_and_its_shares_moved(market: list[Surface]) -> None:
    """Sum of contracts times the change of their mids, and yesterday's shares times the change of the underlier, to the cent."""
    days = option_backtest(market, OptionBacktestConfig(template="calendar", side="buy", contracts=3))
    counted, legs = 0, ()
    for (last, before), (now, one) in itertools.pairwise(zip(market, days, strict=True)):
        if any(event.startswith("opened") for event in before.events):
            legs = positions(last)[0]["calendar"]
        if not one.events:
            mids = [[sum(map(Decimal, map("{:.2f}".format, at.touch(leg)))) / 2 for leg in legs] for at in (last, now)]
            moved = sum(300 * int(leg.quantity) * (after - then) for leg, then, after in zip(legs, *mids, strict=True))
            hedge = before.shares * (Decimal(f"{now.chain.spot:.2f}") - Decimal(f"{last.chain.spot:.2f}"))
            assert one.gross == moved + hedge
            counted += 1
    assert counted >= 12


def test_no_position_is_held_over_a_split() -> None:
    """Ten sessions at 100 before a split of 4 for 1, ten at 25 after it: each part earns what it earns without the other."""
    chains = [
        quoted("X", day.astype(object), spot, 0.09, [one for one in EXPIRIES if one > day], Quoting(rate=0.0, step=0.625))
        for day, spot in zip(DAYS[:20], [100.0] * 10 + [25.0] * 10, strict=True)
    ]
    split = DAYS[10].astype(object)
    surfaces = [surface_of(replace(chain, next_split=split if chain.day < split else None)) for chain in chains]
    whole, *parts = (option_backtest(given, OptionBacktestConfig()) for given in (surfaces, surfaces[:10], surfaces[10:]))
    assert "closed" in whole[9].events and whole[9].shares == 0 and whole[10].events == ("opened sell straddle",)
    assert [one.net for one in whole] == [one.net for part in parts for one in part] and abs(net(whole)) < 1_000


def test_a_hedge_stays_where_a_leg_has_no_curve() -> None:
    """The evening before its expiry an option has no slice any more: what is known of its delta is that of the day before."""
    held = evenings(7, 18)
    days = option_backtest(
        [surface_of(one.chain.where(one.chain.expiration == EXPIRIES[0])) for one in held[:15]], OptionBacktestConfig(hold_sessions=60)
    )
    assert held[12].chain.day == date(2020, 3, 18) and held[13].smile(EXPIRIES[0]) is None
    assert days[13].shares == days[12].shares != 0 and days[13].hedging == 0 and days[14].shares == 0


@pytest.mark.parametrize(("side", "worth"), [("buy", 0), ("sell", -10)])
def test_a_leg_that_has_lost_its_bid_is_worth_nothing_to_its_holder_and_costs_the_ask_to_close(
    market: list[Surface], side: str, worth: int
) -> None:
    """Next evening nobody bids for the straddle's call, asked at 0.10; the put and the shares are as before."""
    first, second = market[:2]
    call = positions(first)[0]["straddle"][0]
    held = second.chain
    at = (held.expiration == call.expiration) & (held.strike == call.strike) & held.is_call
    quote = second.touch(call)
    assert quote is not None
    unbid = replace(second, chain=replace(held, bid=np.where(at, 0.0, held.bid), ask=np.where(at, 0.10, held.ask)))
    config = OptionBacktestConfig.model_validate({"side": side, "hold_sessions": 60})
    plain, poor = (option_backtest([first, last, market[2]], config)[1] for last in (second, unbid))
    before = 100.0 * (quote[0] if side == "buy" else -quote[1])
    assert float(poor.liquidation - plain.liquidation) == pytest.approx(worth - before)


def test_what_is_bought_and_what_is_sold_differ_by_costs_alone(market: list[Surface]) -> None:
    """Gross profits are each other's negative, but for whole shares of the hedge."""
    free = {"fee_usd": 0.0, "hedge_half_spread_bps": 0.0, "contracts": 1}
    bought, sold = (option_backtest(market, OptionBacktestConfig.model_validate({**free, "side": side})) for side in ("buy", "sell"))
    assert sum(float(one.gross) for one in bought) == pytest.approx(-sum(float(one.gross) for one in sold), abs=1e-9)
    assert [one.spreads for one in bought] == [one.spreads for one in sold] and all(one.costs == one.spreads for one in sold)


def test_gamma_theta_and_vega_explain_most_of_a_small_day() -> None:
    """A volatility that stays: theta against gamma; what is left over is small beside either."""
    days = option_backtest(evenings(3, half_points=1e-5, has_ticks=False), OptionBacktestConfig(side="buy", contracts=10))
    theta, residual = (np.array([float(getattr(one, name)) for one in days[1:]]) for name in ("theta", "residual"))
    assert np.median(np.abs(residual)) < 0.35 * np.median(np.abs(theta)) and theta.sum() < 0.0


def test_an_expiry_settles_at_intrinsic_value_in_cash_or_in_shares_alike() -> None:
    """Held over the expiry of 20 March; shares that are delivered are sold at the same close, which here costs nothing."""
    held = {"hold_sessions": 60, "hedge_half_spread_bps": 0.0, "fee_usd": 0.0}
    early = []
    for one in evenings(7, 18):
        chain = one.chain.where(one.chain.expiration == EXPIRIES[0]) if one.chain.day < date(2020, 3, 16) else one.chain
        early.append(one if len(chain) == len(one.chain) else surface_of(chain))
    configs = [OptionBacktestConfig.model_validate({**held, "settlement": how}) for how in ("cash", "shares")]
    cash, shares = (option_backtest(early, config) for config in configs)
    assert net(cash) == net(shares)
    settled = [event for one in cash for event in one.events if event.startswith("expired")]
    assert len(settled) == 2 and sum(", worth 0.00" in event for event in settled) == 1
    assert [one.day for one in cash if any("expired" in event for event in one.events)] == [date(2020, 3, 20)]


def test_an_american_short_without_time_value_is_exercised_against_us() -> None:
    """A put deep in the money after a fall of a half, listed still, is quoted at its intrinsic value; a European one is not exercised."""
    falling = evenings(2, 12, drift=-0.06, half_points=1e-5, deviations=12.0)
    told = {}
    for style in ("american", "european"):
        days = option_backtest(falling, OptionBacktestConfig.model_validate({"hold_sessions": 60, "style": style, "settlement": "shares"}))
        told[style] = [event for one in days for event in one.events if event.startswith("exercised early")]
        assert days[-1].mid == net(days)
    assert told["american"] and told["european"] == []


def test_an_old_quote_exercises_nothing() -> None:
    """The evening on which the put would be exercised it has no quote: that of the day before is below what it is worth now."""
    falling = evenings(2, 12, drift=-0.06, half_points=1e-5, deviations=12.0)

    def exercised(given: list[Surface]) -> int:
        days = option_backtest(given, OptionBacktestConfig(hold_sessions=60, style="american", settlement="shares"))
        return next(row for row, one in enumerate(days) if any(event.startswith("exercised early") for event in one.events))

    first = exercised(falling)
    chain = falling[first].chain
    unquoted = surface_of(replace(chain, bid=np.where(chain.is_call, chain.bid, np.nan)))
    assert exercised([*falling[:first], unquoted, *falling[first + 1 :]]) == first + 1


def test_reports_hold_pictures_and_say_what_a_short_history_is_not(market: list[Surface]) -> None:
    days = option_backtest(market, OptionBacktestConfig())
    files = backtest_report("X", days, OptionBacktestConfig(), ("24 sessions are no evidence",))
    assert b"no evidence" in files["report.html"] and {"plots/marks.png", "plots/parts.png"} <= set(files)
    surfaces = market[:3]
    shown = surface_report(surfaces, surfaces[-1])
    assert {f"plots/{name}.png" for name in ("smiles", "surface", "total_variance", "quality")} <= set(shown)
    assert all(content.startswith(b"\x89PNG") for name, content in shown.items() if name.endswith(".png"))
    assert b"Slices of 2020-03-04" in shown["report.md"] and b"| ATM | skew | puts | calls | low |" in shown["report.md"]


def test_a_flag_of_the_command_overrides_its_configuration_only_where_it_is_given(market: list[Surface], tmp_path: Path) -> None:
    """The configuration buys verticals, three at a time; without flags so does the command, with one only that one differs."""
    quotes_frame([one.chain for one in market[:6]]).to_parquet(quotes := tmp_path / "quotes.parquet", index=False)
    (config := tmp_path / "own.yml").write_text("options_backtest: {template: vertical, side: buy, contracts: 3, hold_sessions: 2}\n")
    chains = ("--chains", str(tmp_path / "options"), "--root", "X", "--to", str(tmp_path / "report"))

    def first_event(*words: str) -> str:
        done = CliRunner().invoke(app, ["options", "backtest", *chains, *words, "--json"])
        assert done.exit_code == 0, done.output
        found: str = json.loads(done.stdout)["days"][0]["events"][0]
        return found

    assert CliRunner().invoke(app, ["options", "ingest", "--quotes", str(quotes), "--to", str(tmp_path / "options")]).exit_code == 0
    assert first_event("--config", str(config)) == "opened buy vertical"
    assert first_event("--config", str(config), "--side", "sell") == "opened sell vertical"
    assert first_event("--config", str(config), "--template", "calendar") == "opened buy calendar"
    assert first_event() == "opened sell straddle"
