"""Writes the report of a backtest: Markdown, HTML and plots."""

from collections.abc import Mapping
from decimal import Decimal

import pyarrow as pa

from trainer.backtest.document import BacktestFigures, BacktestProvenance, PeriodFigures, SharpeCertainty, TradedBundle
from trainer.backtest.scored import Origin
from trainer.reports import page
from trainer.reports.backtest_plots import pictures

CAPTIONS = {
    "equity.png": "What was shown by the exchange plus dividends, what is left after every cost, and the benchmark.",
    "drawdown.png": "How far the value stood below its highest so far.",
    "exposure.png": "Marked at the close; short positions are negative. Gross is long and short together.",
    "turnover.png": "Half of all that was bought and sold.",
    "costs.png": "An auction's fills pay half a quoted spread as slippage; impact grows with the root of size.",
}
HEAD = ("", "sessions", "net return", "benchmark", "Sharpe", "volatility", "drawdown")
COST_NAMES = {
    "auction_slippage": "auction slippage",
    "spread": "spread",
    "impact": "impact",
    "fees": "SEC and TAF fees",
    "borrow": "borrow",
}


def report_files(known: BacktestFigures, nav: pa.Table) -> Mapping[str, bytes]:
    """Render everything: relative path -> content."""
    return page.files(_page(known), pictures(nav, float(known.start_equity_usd), str(known.benchmark.name)))


def rows_of(known: BacktestFigures) -> list[tuple[str, str]]:
    """(what, figure) lines of the report, which the command prints too."""
    net, paper, beside = known.net, known.paper, known.benchmark
    return [
        ("Sessions", f"{known.sessions}, {known.first} to {known.last}"),
        *((f"Scored by: {row.origin}", f"{row.sessions} sessions, {row.first} to {row.last}") for row in known.scores),
        *((("Ruined", f"on {known.ruined}; nothing was traded after it"),) if known.ruined else ()),
        ("Value", f"{_usd(known.start_equity_usd)} to {_usd(known.end_equity_usd)} USD after all costs"),
        ("Net return", f"{_share(net.total_return)}, {_share(net.annual_return)} a year"),
        ("Net Sharpe ratio a year", f"{_ratio(net.annual_sharpe)}, volatility {net.annual_volatility:.1%}"),
        ("Probability that it is above 0 (PSR)", _probability(known.certainty.psr)),
        ("Deflated by its trials (DSR)", _deflated(known.certainty)),
        ("Deepest fall", f"{net.max_drawdown:.2%}"),
        ("As the paper account shows it", f"{_share(paper.total_return)}, Sharpe {_ratio(paper.annual_sharpe)}"),
        (
            f"Benchmark: {beside.name}",
            f"{_share(beside.total_return)}, Sharpe {_ratio(beside.annual_sharpe)}, deepest fall {beside.max_drawdown:.2%}",
        ),
        (
            "Beside the benchmark",
            f"beta {_ratio(beside.beta)}, correlation {_ratio(beside.correlation)}, "
            f"{_share(beside.tracking_difference)} a year (tracking difference), "
            f"tracking error {beside.tracking_error:.1%}",
        ),
        *_book(known),
        *_provenance(known.provenance),
    ]


def _book(known: BacktestFigures) -> list[tuple[str, str]]:
    held, costs, orders = known.exposure, known.costs, dict(known.orders)
    count = orders.pop("count")
    states = ", ".join(f"{number} {state}" for state, number in orders.items())
    return [
        ("Turnover a year, one way", f"{known.turnover.annual:.1f} times the equity"),
        (
            "Exposure, mean",
            f"gross {held.mean_gross:.1%}, long {held.mean_long:.1%}, short {held.mean_short:.1%}, net {_share(held.mean_net)}",
        ),
        *((f"Cost: {name}", f"{costs.usd[key]:,.2f} USD, {1e4 * costs.annual[key]:.1f} bps a year") for key, name in COST_NAMES.items()),
        ("All costs", f"{sum(costs.usd.values()):,.2f} USD, {1e4 * costs.annual_total:.1f} bps a year"),
        ("Dividends", f"{costs.dividends_usd:+,.2f} USD"),
        ("Orders", f"{count}: {states}" if states else "none"),
    ]


def _provenance(known: BacktestProvenance) -> list[tuple[str, str]]:
    sized = (
        f"fixed {known.fixed_ic:g}"
        if known.fixed_ic is not None
        else f"{known.ic.mean:+.4f}, of which the evidence leaves {known.ic.evidence:.2f} of the book"
    )
    return [
        ("Run", f"{known.run} ({known.sleeve}), trained until {known.last_training_session}"),
        *_bundle(known.bundle),
        ("Sized by an IC of", sized),
        ("Volatilities", _volatilities(known.risk)),
        ("Data", f"{known.dataset} of {known.vendor}, snapshot {known.snapshot_id[:12]}"),
        ("Eligible names have", known.eligibility),
        ("Program and settings", f"{known.code_version}, {known.settings[:12]}, seed {known.seed}"),
    ]


def _volatilities(risk: Mapping[str, str] | None) -> str:
    if risk is None:
        return "of the window: no risk bundle"
    return f"forecast by risk bundle {risk['bundle']} from {risk['from']} on"


def _bundle(known: TradedBundle | None) -> list[tuple[str, str]]:
    if known is None:
        return []
    role = f"{known.role}, {known.refusal}" if known.refusal else known.role
    return [("Bundle", f"{known.sha256[:12]}, signed by {', '.join(known.signers)}; {role}")]


def _page(known: BacktestFigures) -> page.Page:
    tables = (_table("By year", known.by_year), _table("By regime of the market, as it was known on the evening before", known.by_regime))
    is_learned = any(row.origin == Origin.IN_SAMPLE for row in known.scores)
    title = f"{'RUINED: ' * bool(known.ruined)}{'IN-SAMPLE: ' * is_learned}Backtest of {known.provenance.run}"
    return page.Page(title, tuple(rows_of(known)), tuple(known.warnings), CAPTIONS, tables)


def _table(title: str, rows: Mapping[str, PeriodFigures]) -> page.Table:
    return page.Table(
        title,
        HEAD,
        tuple(
            (
                name,
                str(row.sessions),
                _share(row.total_return),
                _share(row.benchmark_return),
                _ratio(row.annual_sharpe),
                f"{row.annual_volatility:.1%}",
                f"{row.max_drawdown:.2%}",
            )
            for name, row in rows.items()
        ),
    )


def _deflated(known: SharpeCertainty) -> str:
    if known.dsr is None:
        return "not known: the run does not say how many trials it is the best of"
    return f"{_probability(known.dsr)} over {known.trials} trials"


def _usd(value: Decimal) -> str:
    return f"{float(value):,.2f}"


def _share(value: float) -> str:
    return f"{value:+.2%}"


def _ratio(value: float | None) -> str:
    return "n/a" if value is None else f"{value:+.2f}"


def _probability(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.1%}"
