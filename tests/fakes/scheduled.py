"""Orders in steps on real volumes: as a plan knew them the evening before, and the volumes that they met."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd

from execution.planning.config import EntryConfig, EntryStyle
from execution.planning.urgency import ScheduledOrder, order_of
from execution.planning.volume_curve import shares_of, step_shares
from signals.market.bars import Floats

REAL = Path(__file__).parents[3] / "shared" / "data" / "us_5min_2025_2026_open.parquet"


def entry(risk_aversion: float = 0.0, participation: float = 1.0) -> EntryConfig:
    return EntryConfig(kind=EntryStyle.LEAST_COST, risk_aversion=risk_aversion, participation=participation)


def real_orders(seed: int) -> tuple[list[ScheduledOrder], Floats, np.ndarray]:
    """Orders of 18 stocks as a plan of each session knows them, the volumes that they met then, and the sessions.

    Sizes are drawn, log-uniform from a thousandth of a percent to 5 % of the usual dollar volume.
    """
    rng, own, rows = np.random.default_rng(seed), entry(participation=0.05), pd.read_parquet(REAL)
    rows["day"] = rows["ts"].dt.date
    orders, met, sessions = [], [], []
    for _, of_name in rows.groupby("symbol"):
        days = [part for _, part in of_name.groupby("day") if len(part) == 78]
        traded = [(np.arange(5, 391, 5), part["volume"].to_numpy(float), 390) for part in days]
        shares, closes = np.array([one[1].sum() for one in traded]), np.array([part["close"].iloc[-1] for part in days])
        for now in range(21, len(days)):
            before = slice(now - 20, now)
            curve, usual = step_shares(traded[before], own), float(shares[before].mean())
            sigma = float(np.diff(np.log(closes[now - 21 : now])).std())
            order = order_of(Decimal(repr(10 ** rng.uniform(-5, np.log10(0.05)))), Decimal(1), sigma, curve, own)
            assert order is not None
            orders.append(order)
            met.append(shares_of(traded[now], own) * shares[now] / usual / order.volume)
            sessions.append(np.datetime64(days[now]["day"].iloc[0], "D").astype(np.int64))
    return orders, np.array(met)[:, None, :], np.array(sessions)
