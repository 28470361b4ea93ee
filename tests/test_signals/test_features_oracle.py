"""DuckDB recomputes the rolling features in SQL, from a long table, by formulas of its own."""

from __future__ import annotations

from functools import cache

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from signals.market.bars import Bars
from signals.sleeves import SLEEVES
from tests.fakes.bars import synthetic_bars, yf_bars

SLEEVE = SLEEVES["equities_xs"]
TABLE = {feature.name: feature for sleeve in SLEEVES.values() for feature in sleeve.table}

# L is the log level of the whole history, a chain of valid returns; every feature is a ratio within its window, so
# where the chain starts does not matter. `n` counts valid observations; 16 of 20, 48 of 60 and so on are needed.
LEVELS = """
CREATE TABLE levels AS
SELECT *, CASE WHEN r IS NOT NULL THEN sum(ln(1 + r)) OVER (PARTITION BY i ORDER BY t) END AS level,
       CASE WHEN r IS NOT NULL THEN market END AS m
FROM bars JOIN (SELECT t, avg(r) FILTER (eligible) AS market FROM bars GROUP BY t) USING (t)
"""


def window(width: int) -> str:
    return f"(PARTITION BY i ORDER BY t ROWS BETWEEN {width - 1} PRECEDING AND CURRENT ROW)"


def enough(value: str, width: int, expression: str) -> str:
    known = f"count({value}) OVER {window(width)} >= ceil(0.8 * {width}) AND close IS NOT NULL"
    return f"CASE WHEN {known} THEN {expression} END"


def momentum(width: int) -> str:
    return enough("r", width, f"exp(sum(ln(1 + r)) OVER {window(width)}) - 1")


def zscore(width: int) -> str:
    over = f"OVER {window(width)}"
    return enough("r", width, f"(level - avg(level) {over}) / nullif(stddev_samp(level) {over}, 0)")


def band(width: int) -> str:
    over = f"OVER {window(width)}"
    deviation = f"nullif(stddev_samp(exp(level)) {over}, 0)"
    return enough("r", width, f"(exp(level) - (avg(exp(level)) {over} - 2 * {deviation})) / (4 * {deviation})")


def drawdown(width: int) -> str:
    return enough("r", width, f"exp(level - max(level) OVER {window(width)}) - 1")


def beta(width: int) -> str:
    unknown = f"count(*) FILTER (r IS NOT NULL AND market IS NULL) OVER {window(width)}"
    return enough("r", width, f"CASE WHEN {unknown} = 0 THEN regr_slope(r, m) OVER {window(width)} END")


def residual(width: int) -> str:
    unknown = f"count(*) FILTER (r IS NOT NULL AND market IS NULL) OVER {window(width)}"
    left = "regr_syy(r, m) {0} - pow(regr_sxy(r, m) {0}, 2) / regr_sxx(r, m) {0}".format(f"OVER {window(width)}")
    root = f"sqrt(252 * greatest(0, {left}) / (count(r) OVER {window(width)} - 1))"
    return enough("r", width, f"CASE WHEN {unknown} = 0 THEN {root} END")


def volatility(value: str, width: int) -> str:
    return enough(value, width, f"sqrt(252) * stddev_samp({value}) OVER {window(width)}")


LIMITED = "CASE WHEN r IS NOT NULL THEN least(greatest(r, -0.5), 0.5) END"  # both skip NULL by themselves


def log_volatility(width: int) -> str:
    return enough("r", width, f"0.5 * ln(252 * nullif(avg(pow({LIMITED}, 2)) OVER {window(width)}, 0))")


def downside(width: int) -> str:
    squares = f"pow({LIMITED}, 2)"
    over = f"OVER {window(width)}"
    return enough("r", width, f"coalesce(sum({squares}) FILTER (r < 0) {over}, 0) / nullif(sum({squares}) {over}, 0)")


ORACLE = {
    "momentum_5": momentum(5),
    "momentum_20": momentum(20),
    "momentum_60": momentum(60),
    "momentum_126": momentum(126),
    "zscore_20": zscore(20),
    "zscore_60": zscore(60),
    "volatility_20": volatility("r", 20),
    "volatility_60": volatility("r", 60),
    "log_traded_usd_20": enough("close", 20, f"ln(nullif(avg(close * volume) OVER {window(20)}, 0))"),
    "band_position_20": band(20),
    "overnight_mean_20": enough("o", 20, f"avg(o) OVER {window(20)}"),
    "overnight_volatility_20": volatility("o", 20),
    "drawdown_60": drawdown(60),
    "drawdown_126": drawdown(126),
    "beta_60": beta(60),
    "residual_volatility_60": residual(60),
    "absolute_return": f"CASE WHEN close IS NOT NULL THEN sqrt(252) * abs({LIMITED}) END",
    "log_volatility_5": log_volatility(5),
    "log_volatility_22": log_volatility(22),
    "log_volatility_66": log_volatility(66),
    "log_volatility_252": log_volatility(252),
    "downside_share_22": downside(22),
}
SKIPPED_MONTH = """
SELECT CASE WHEN count(r) OVER w >= 185 AND close IS NOT NULL THEN exp(sum(ln(1 + r)) OVER w) - 1 END FROM levels
WINDOW w AS (PARTITION BY i ORDER BY t ROWS BETWEEN 251 PRECEDING AND 21 PRECEDING) ORDER BY t, i
"""


@cache
def market(name: str) -> Bars:
    return synthetic_bars(21, sessions=420, symbols=9, missing=0.03) if name == "synthetic" else yf_bars(symbols=25)


@cache
def store(name: str) -> duckdb.DuckDBPyConnection:
    """The panel as rows (t, i), NULL where it is NaN."""
    bars = market(name)
    rows, columns = np.indices(bars.close.shape)
    panels = {"close": bars.close, "volume": bars.volume, "r": bars.total_return, "o": bars.overnight_return}
    table = pa.table(
        {"t": rows.ravel(), "i": columns.ravel(), "eligible": bars.eligible.ravel()}
        | {key: pa.array(panel.ravel(), mask=np.isnan(panel.ravel())) for key, panel in panels.items()}
    )
    connection = duckdb.connect(config={"threads": 1})
    connection.register("delivered", table)
    connection.execute("CREATE TABLE bars AS SELECT * FROM delivered")
    connection.execute(LEVELS)
    return connection


def asked(name: str, query: str) -> np.ndarray:
    (column,) = store(name).execute(query).fetchnumpy().values()
    return np.ma.filled(np.ma.asarray(column, np.float64), np.nan).reshape(market(name).close.shape)


both_markets = pytest.mark.parametrize("name", ["synthetic", "real"])


@both_markets
@pytest.mark.parametrize("feature", ORACLE)
def test_sql_windows_give_the_same_feature(name: str, feature: str) -> None:
    found = TABLE[feature].compute(market(name))
    expected = asked(name, f"SELECT {ORACLE[feature]} FROM levels ORDER BY t, i")
    assert np.isfinite(expected).mean() > 0.35
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


@both_markets
def test_sql_gives_the_same_twelve_months_less_one(name: str) -> None:
    (row,) = [f for f in SLEEVE.table if f.name == "momentum_12_1"]
    found, expected = row.compute(market(name)), asked(name, SKIPPED_MONTH)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


@both_markets
@pytest.mark.parametrize("width", [5, 22])
def test_sql_gives_the_same_volatility_of_the_market(name: str, width: int) -> None:
    over = f"(ORDER BY t ROWS BETWEEN {width - 1} PRECEDING AND CURRENT ROW)"
    query = (
        f"SELECT CASE WHEN close IS NOT NULL THEN v END FROM bars JOIN (SELECT t, CASE WHEN count(m) OVER {over} >="
        f" ceil(0.8 * {width}) THEN 0.5 * ln(252 * avg(m * m) OVER {over}) END AS v FROM (SELECT t, avg(r)"
        " FILTER (eligible) AS m FROM bars GROUP BY t)) USING (t) ORDER BY t, i"
    )
    found, expected = TABLE[f"market_log_volatility_{width}"].compute(market(name)), asked(name, query)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


def eighteen_bits(values: np.ndarray) -> np.ndarray:
    """Round the fraction of each value to 18 binary places; below 1e-9 lies nothing."""
    fraction, exponent = np.frexp(values.astype(np.float64))
    return np.where(np.abs(values) < 1e-9, 0.0, np.ldexp(np.round(fraction * 2**18), exponent - 18))


@both_markets
@pytest.mark.parametrize("feature", ["momentum_20", "drawdown_60", "overnight_return"])
def test_sql_ranks_the_same(name: str, feature: str) -> None:
    """Ties share the average of their places; only eligible names with a value take part, rounded to 18 bits."""
    panel = SLEEVE.panel(market(name))
    values = panel.values[..., panel.names.index(feature)].ravel()
    counted = panel.eligible.ravel() & ~np.isnan(values)
    rows, columns = np.indices(panel.eligible.shape)
    # The query sees `ranked` by its name.
    ranked = pa.table({"t": rows.ravel()[counted], "i": columns.ravel()[counted], "x": eighteen_bits(values[counted])})
    connection = store(name)
    connection.register("ranked", ranked)
    found = connection.execute(
        "SELECT t, i, (rank() OVER (PARTITION BY t ORDER BY x) + (count(*) OVER (PARTITION BY t, x) - 1) / 2 - 0.5)"
        " / count(*) OVER (PARTITION BY t) AS place FROM ranked"
    ).fetchnumpy()
    expected = np.full(panel.eligible.shape, np.nan)
    expected[found["t"], found["i"]] = found["place"]
    np.testing.assert_array_equal(panel.values[..., panel.names.index(f"rank_{feature}")], expected.astype(np.float32))
