"""The features as SQL over a table bars(i, t, close, volume, r, o, eligible)."""

from __future__ import annotations

from features_workload import RANKED, SPEC

SETUP = (
    "CREATE OR REPLACE TEMP TABLE market AS SELECT t, avg(r) FILTER (eligible) AS market FROM bars GROUP BY t",
    "CREATE OR REPLACE TEMP TABLE levels AS SELECT *, ln(1 + r) AS g, CASE WHEN r IS NOT NULL THEN market END AS m,"
    " CASE WHEN r IS NOT NULL THEN sum(ln(1 + r)) OVER (PARTITION BY i ORDER BY t) END AS level"
    " FROM bars JOIN market USING (t)",
)
WIDTHS = (5, 20, 60, 126)
WINDOWS = (
    ", ".join(f"w{width} AS (PARTITION BY i ORDER BY t ROWS BETWEEN {width - 1} PRECEDING AND CURRENT ROW)" for width in WIDTHS)
    + ", w231 AS (PARTITION BY i ORDER BY t ROWS BETWEEN 251 PRECEDING AND 21 PRECEDING)"
)


def where_enough(value: str, width: int, expression: str) -> str:
    return f"CASE WHEN count({value}) OVER w{width} >= {-(-width * 80 // 100)} THEN {expression} END"


def base() -> dict[str, str]:
    found = {f"momentum_{w}": where_enough("r", w, f"exp(sum(g) OVER w{w}) - 1") for w in WIDTHS}
    found["momentum_12_1"] = where_enough("r", 231, "exp(sum(g) OVER w231) - 1")
    found["day_of_week_sin"] = "sin(2 * pi() * (isodow(t) - 1) / 5)"
    found["day_of_week_cos"] = "cos(2 * pi() * (isodow(t) - 1) / 5)"
    for w in (20, 60):
        deviation = f"nullif(stddev_samp(level) OVER w{w}, 0)"
        found[f"zscore_{w}"] = where_enough("r", w, f"(level - avg(level) OVER w{w}) / {deviation}")
        found[f"volatility_{w}"] = where_enough("r", w, f"sqrt(252) * stddev_samp(r) OVER w{w}")
    found["beta_60"] = where_enough("m", 60, "regr_slope(r, m) OVER w60")
    left = "regr_syy(r, m) OVER w60 - pow(regr_sxy(r, m) OVER w60, 2) / regr_sxx(r, m) OVER w60"
    found["residual_volatility_60"] = where_enough("m", 60, f"sqrt(252 * greatest(0, {left}) / (count(r) OVER w60 - 1))")
    found["log_traded_usd_20"] = where_enough("close", 20, "ln(nullif(avg(close * volume) OVER w20, 0))")
    spread = "(4 * nullif(stddev_samp(exp(level)) OVER w20, 0))"
    found["band_position_20"] = where_enough("r", 20, f"(exp(level) - avg(exp(level)) OVER w20) / {spread} + 0.5")
    found["overnight_return"] = "o"
    found["overnight_mean_20"] = where_enough("o", 20, "avg(o) OVER w20")
    found["overnight_volatility_20"] = where_enough("o", 20, "sqrt(252) * stddev_samp(o) OVER w20")
    for w in (60, 126):
        found[f"drawdown_{w}"] = where_enough("r", w, f"exp(level - max(level) OVER w{w}) - 1")
    return found


def query(ending: str, where: str = "") -> str:
    """Every feature and rank of every row, or of the rows that `where` names, in the order of `ending`."""
    expressions = base()
    selected = ", ".join(
        f"({expressions[name]})::FLOAT AS {name}"
        if name.startswith("day_of_week")
        else f"(CASE WHEN close IS NOT NULL THEN {expressions[name]} END)::FLOAT AS {name}"
        for name in SPEC
    )
    ranks = ", ".join(
        f"(CASE WHEN eligible AND {n} IS NOT NULL THEN (rank() OVER"
        f" (PARTITION BY t, eligible ORDER BY x_{n} NULLS LAST)"
        f" + (count(*) OVER (PARTITION BY t, eligible, x_{n}) - 1) / 2 - 0.5)"
        f" / count({n}) OVER (PARTITION BY t, eligible) END)::FLOAT AS rank_{n}"
        for n in RANKED
    )
    return (
        f"WITH rolled AS (SELECT t, i, eligible, {selected} FROM levels WINDOW {WINDOWS}),"
        f" wanted AS (SELECT *, {', '.join(_rounded(n) for n in RANKED)} FROM rolled {where})"
        f" SELECT * EXCLUDE ({', '.join(f'x_{n}' for n in RANKED)}), {ranks} FROM wanted {ending}"
    )


def _rounded(name: str) -> str:
    """Round to the 18 bits that a rank depends on; next to nothing is zero."""
    split = f"({name} * 65::FLOAT)"
    return f"CASE WHEN abs({name}) < 1e-9 THEN 0::FLOAT ELSE {split} - ({split} - {name}) END AS x_{name}"
