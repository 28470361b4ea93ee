"""Names that were quoted pay their own spread, in the device's real NAV and in a backtest alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np

from execution.config import ExecutionConfig
from execution.costs.spread import estimated_bps
from execution.exchange.config import ExchangeConfig
from portfolio.config import PortfolioConfig
from portfolio.risk.kelly import SizingCoefficient
from signals.scoring.scores import Scores
from tests.fakes.device import Workbench
from tests.fakes.quotes import quote
from tests.fakes.store import Published
from trainer.backtest.archive import open_archive
from trainer.backtest.engine import Backtest, BacktestPolicy, opened

Make = Callable[..., Workbench]
QUOTED_BPS = 21.0
CENT = Decimal("0.01")


def test_the_real_value_charges_each_name_its_quoted_spread(make: Make, own_store: Published) -> None:
    """Every other name is quoted at 21 bps: 10.5 a side of its trades, the others' own; both hosts, to the cent."""
    data, days = own_store.root / "data", own_store.sessions(3)
    names = sorted(open_archive(data).rows.closes(days[0]))[::2]
    before = own_store.manifest.calendar.offset(days[0], -5)
    quote(data, [(before, name, QUOTED_BPS) for name in names])
    like = make(own_store, "like")
    replayed = Workbench(like.state.parent / "replayed")
    done = replayed("replay", "--like", str(like.state), "--start", str(days[0]), "--end", str(days[-1]), "--json")
    assert done.code == 0, done.err
    archive = open_archive(data)
    recorded: dict[str, dict[str, float]] = defaultdict(dict)
    for asof, symbol, score in replayed.rows("SELECT asof, symbol, score FROM scores ORDER BY symbol"):
        recorded[asof][symbol] = score

    def on(asof: object) -> Scores:
        rows = recorded[str(asof)]
        return Scores(asof, "equities_xs", tuple(rows), np.array([*rows.values()]), "0" * 64)  # type: ignore[arg-type]

    policy = BacktestPolicy(PortfolioConfig(fixed_ic=0.05), ExecutionConfig(), SizingCoefficient(0.03, 3.0, 20.0), 5, "test")
    course = Backtest(archive, opened(archive, ExchangeConfig(cash=Decimal(100_000)), 0, days[0]), policy).run(days, on)
    booked = replayed.rows("SELECT session, real_nav, impact FROM nav ORDER BY session")
    assert [(str(d.session), d.real_equity, d.costs.impact) for d in course.days] == [
        (day, Decimal(real), Decimal(impact)) for day, real, impact in booked
    ]
    for day in course.days:
        traded: dict[str, Decimal] = defaultdict(Decimal)
        for fill in course.fills:
            if fill.at.date() == day.session:
                traded[fill.symbol] += fill.quantity * fill.price
        asof = own_store.manifest.calendar.previous(day.session)
        shown = dict(zip(archive.trailing(asof, 252).symbols, estimated_bps(archive.trailing(asof, 252)), strict=True))
        closes = archive.rows.closes(asof)
        least = {name: Decimal("0.01") / Decimal(repr(close)) * 10_000 for name, close in closes.items()}
        own = {name: max(Decimal(5 if np.isnan(shown[name]) else round(float(shown[name]), 2)), least[name]) for name in closes}
        sides = [(value, Decimal("0.00105") if name in names else own[name].quantize(CENT) / 20_000) for name, value in traded.items()]
        worked = sum((value * side).quantize(CENT, ROUND_HALF_EVEN) for value, side in sides)
        assert day.spread == -worked < 0 and len({side for _, side in sides}) > 2
