"""The features with pandas groupby.rolling on a long frame sorted by symbol, session."""

from __future__ import annotations

import numpy as np
import pandas as pd
from features_workload import RANKED, rounded

ANNUAL = np.sqrt(252.0)


def features(df: pd.DataFrame) -> pd.DataFrame:
    """One float32 column a feature; `df` has symbol, session, close, volume, r, o, eligible."""
    out: dict[str, np.ndarray] = {}
    df = df.assign(g=np.log1p(df.r), dollars=df.close * df.volume)
    df["level"] = df.groupby("symbol", sort=False)["g"].cumsum()
    df["price"] = np.exp(df.level)
    market = df.r.where(df.eligible).groupby(df.session).mean()
    df["m"] = df.session.map(market).where(df.r.notna())
    df["rm"] = df.r * df.m
    groups = df.groupby("symbol", sort=False)

    def rolled(column: str, width: int, statistic: str) -> np.ndarray:
        windows = groups[column].rolling(width, min_periods=-(-width * 80 // 100))
        return getattr(windows, statistic)().to_numpy()

    for width in (5, 20, 60, 126):
        out[f"momentum_{width}"] = np.expm1(rolled("g", width, "sum"))
    year = pd.Series(np.expm1(rolled("g", 231, "sum")), index=df.index)
    out["momentum_12_1"] = year.groupby(df.symbol, sort=False).shift(21).to_numpy()
    angle = 2 * np.pi * df.session.dt.dayofweek.to_numpy() / 5
    out["day_of_week_sin"], out["day_of_week_cos"] = np.sin(angle), np.cos(angle)
    for width in (20, 60):
        out[f"zscore_{width}"] = (df.level - rolled("level", width, "mean")) / rolled("level", width, "std")
        out[f"volatility_{width}"] = ANNUAL * rolled("r", width, "std")
    out["log_traded_usd_20"] = np.log(rolled("dollars", 20, "mean"))
    out["band_position_20"] = (df.price - rolled("price", 20, "mean")) / (4 * rolled("price", 20, "std")) + 0.5
    out["overnight_return"] = df.o.to_numpy()
    out["overnight_mean_20"] = rolled("o", 20, "mean")
    out["overnight_volatility_20"] = ANNUAL * rolled("o", 20, "std")
    for width in (60, 126):
        out[f"drawdown_{width}"] = df.price / rolled("price", width, "max") - 1.0
    mean_r, mean_m, variance_m = rolled("r", 60, "mean"), rolled("m", 60, "mean"), rolled("m", 60, "var")
    count = rolled("m", 60, "count")
    covariance = (rolled("rm", 60, "mean") - mean_r * mean_m) * count / (count - 1)
    out["beta_60"] = covariance / variance_m
    explained = covariance * out["beta_60"]
    out["residual_volatility_60"] = ANNUAL * np.sqrt((out["volatility_60"] / ANNUAL) ** 2 - explained)
    table = pd.DataFrame({name: np.asarray(values, np.float32) for name, values in out.items()}, index=df.index)
    per_symbol = [name for name in table if not name.startswith("day_of_week")]
    table.loc[df.close.isna().to_numpy(), per_symbol] = np.nan
    eligible = np.repeat(df.eligible.to_numpy()[:, None], len(RANKED), axis=1)
    among = rounded(table[RANKED]).where(eligible).groupby(df.session)
    ranks = (among.rank() - 0.5) / among.transform("count")
    for name in RANKED:
        table[f"rank_{name}"] = ranks[name].to_numpy(np.float32)
    return table
