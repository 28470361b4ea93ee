"""`trainer frontier`: the trade-off of impact against price risk for one order worked over several intervals."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from signals.errors import FixInput
from signals.text.console import emit
from trainer.commands.options import EXECUTION, AsJson, registered

LISTED = 9  # rows of the printed table


def frontier(
    to: Annotated[Path | None, typer.Option(help="PNG to write; without it nothing is drawn.")] = None,
    shares: Annotated[float, typer.Option(help="Size of the order, shares.")] = 1e6,
    duration: Annotated[float, typer.Option(help="Time to finish it, in sessions; 1 is one day.")] = 5.0,
    intervals: Annotated[int, typer.Option(help="Slices it is cut into.")] = 5,
    sigma: Annotated[float, typer.Option(help="Volatility, USD per share per square root of a session.")] = 0.948683,
    eta: Annotated[float, typer.Option(help="Temporary impact, USD session per share^2.")] = 2.5e-6,
    gamma: Annotated[float, typer.Option(help="Permanent impact, USD per share^2.")] = 2.5e-7,
    epsilon: Annotated[float, typer.Option(help="Half the spread and fees, USD per share.")] = 0.0625,
    lowest: Annotated[float, typer.Option(help="Smallest risk aversion drawn, 1 / USD.")] = 1e-8,
    highest: Annotated[float, typer.Option(help="Largest risk aversion drawn, 1 / USD.")] = 1e-4,
    points: Annotated[int, typer.Option(help="Risk aversions drawn, spaced evenly in their logarithm.")] = 41,
    as_json: AsJson = False,
) -> None:
    """Draw the efficient frontier of Almgren and Chriss (2000): expected cost against the variance of the cost.

    Trading evenly (TWAP, risk aversion 0) is the cheapest schedule and the least certain; every other point of the
    frontier pays a little more to be done sooner, and no schedule is below it. The defaults are the paper's example:
    a million shares of a $50 stock with 30 % volatility that trades five million shares a day, over five days. Try
    `--shares 20000 --duration 1 --intervals 6` for one day of six slices; its column `urgency` (kappa T) is what the
    setting `execution.entry.urgency` of a device takes. Variance is in USD^2; its root, the standard
    deviation of the cost, is what the axis shows. `sigma` is price x annual volatility / sqrt(252); `eta` about the
    spread over 1 % of the daily volume; `gamma` the spread over 10 % of it; `epsilon` half the spread.
    """
    if not (0 < lowest < highest and points >= 2):
        raise FixInput(
            f"risk aversions from {lowest} to {highest} in {points} points",
            where="--lowest, --highest, --points",
            fix="Give 0 < lowest < highest and at least 2 points",
        )
    if not (shares and duration > 0 and intervals >= 1 and sigma > 0 and eta > gamma * duration / intervals / 2):
        raise FixInput(
            "the order or its market makes no schedule",
            where="--shares, --duration, --intervals, --sigma, --eta, --gamma",
            fix="Give shares, a positive duration and sigma, and eta above gamma x duration / intervals / 2",
        )
    from execution.planning.slicing import MarketImpact
    from trainer.reports.frontier import drawn, points_of

    market = MarketImpact(sigma, eta, gamma, epsilon)
    found = points_of(shares, duration, intervals, market, lowest, highest, points)
    if to is not None:
        from signals.files import write_atomic

        write_atomic(to, drawn(found))
    rows = [found[0], *found[1 :: max(1, (len(found) - 1) // (LISTED - 1))]]
    heads = ("risk aversion", "urgency", "expected cost, USD", "std deviation, USD", "first slice")
    text = ["{:>14}  {:>8}  {:>20}  {:>20}  {:>11}".format(*heads)]
    text += [
        f"{p.risk_aversion:>14.3g}  {p.urgency:>8.3f}  {p.expected_cost:>20,.2f}  {p.deviation:>20,.2f}  {p.first_slice:>11.1%}"
        for p in rows
    ]
    text += [f"\nPicture: {to}"] if to is not None else []
    emit({"points": [asdict(p) for p in found], "to": str(to) if to else None}, as_json=as_json, text="\n".join(text))


register = registered({EXECUTION: (frontier,)})
