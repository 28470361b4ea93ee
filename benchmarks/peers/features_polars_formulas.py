"""The features as polars rolling expressions `.over` symbol; rows sorted by symbol, session, absent values null."""

from __future__ import annotations

import math

import polars as pl
from features_workload import RANKED

ANNUAL = math.sqrt(252.0)


def rolled(column: str | pl.Expr, statistic: str, width: int) -> pl.Expr:
    expression = pl.col(column) if isinstance(column, str) else column
    return getattr(expression, f"rolling_{statistic}")(width, min_samples=-(-width * 80 // 100)).over("symbol")


def features(frame: pl.DataFrame) -> pl.DataFrame:
    lazy = frame.lazy().with_columns(
        g=pl.col("r").log1p(),
        dollars=pl.col("close") * pl.col("volume"),
        m=pl.when(pl.col("r").is_not_null()).then(pl.when("eligible").then("r").mean().over("session")),
    )
    lazy = lazy.with_columns(level=pl.col("g").cum_sum().over("symbol"), rm=pl.col("r") * pl.col("m"))
    lazy = lazy.with_columns(price=pl.col("level").exp())
    angle = (pl.col("session").dt.weekday().cast(pl.Float64) - 1.0) * (2 * math.pi / 5)
    count = pl.col("m").is_not_null().cast(pl.Float64).rolling_sum(60, min_samples=1).over("symbol")
    covariance = (rolled("rm", "mean", 60) - rolled("r", "mean", 60) * rolled("m", "mean", 60)) * count / (count - 1)
    lazy = lazy.with_columns(covariance=covariance, market_variance=rolled("m", "var", 60), variance=rolled("r", "var", 60))
    base = {f"momentum_{w}": rolled("g", "sum", w).exp() - 1.0 for w in (5, 20, 60, 126)}
    base["momentum_12_1"] = rolled(pl.col("g"), "sum", 231).exp().shift(21).over("symbol") - 1.0
    base |= {"day_of_week_sin": angle.sin(), "day_of_week_cos": angle.cos()}
    for w in (20, 60):
        base[f"zscore_{w}"] = (pl.col("level") - rolled("level", "mean", w)) / rolled("level", "std", w)
        base[f"volatility_{w}"] = ANNUAL * rolled("r", "std", w)
    base["beta_60"] = pl.col("covariance") / pl.col("market_variance")
    unexplained = pl.col("variance") - pl.col("covariance") ** 2 / pl.col("market_variance")
    base["residual_volatility_60"] = ANNUAL * unexplained.sqrt()
    base["log_traded_usd_20"] = rolled("dollars", "mean", 20).log()
    deviation = rolled("price", "std", 20)
    base["band_position_20"] = (pl.col("price") - rolled("price", "mean", 20)) / (4 * deviation) + 0.5
    base["overnight_return"] = pl.col("o")
    base["overnight_mean_20"] = rolled("o", "mean", 20)
    base["overnight_volatility_20"] = ANNUAL * rolled("o", "std", 20)
    for w in (60, 126):
        base[f"drawdown_{w}"] = pl.col("price") / rolled("price", "max", w) - 1.0
    has_bar = pl.col("close").is_not_null()
    cast = {name: (e if name.startswith("day_of_week") else pl.when(has_bar).then(e)).cast(pl.Float32) for name, e in base.items()}
    lazy = lazy.select("session", "eligible", **cast)
    among = {name: pl.when("eligible").then(_rounded(pl.col(name))) for name in RANKED}
    ranks = {
        f"rank_{name}": ((e.rank("average").over("session") - 0.5) / e.count().over("session")).cast(pl.Float32)
        for name, e in among.items()
    }
    return lazy.select(*cast, **ranks).collect()


def _rounded(values: pl.Expr) -> pl.Expr:
    """Round to the 18 bits that a rank depends on; next to nothing is zero."""
    split = values * pl.lit(65, pl.Float32)
    return pl.when(values.abs() < 1e-9).then(pl.lit(0, pl.Float32)).otherwise(split - (split - values))
