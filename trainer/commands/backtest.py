"""`trainer backtest`: backtests a run or a bundle with the device's own code."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from signals.errors import FixInput
from signals.text.console import aligned, emit, progress
from trainer.commands.defaults import announce, new_folder, one_run, workspace_of
from trainer.commands.options import OURS, TRAINING, AsJson, Data, dated, registered


def backtest(
    context: typer.Context,
    start: Annotated[date, dated("First trade session, or a day before it.")],
    end: Annotated[date, dated("Last trade session, or a day after it.")],
    data: Data = OURS,
    to: Annotated[Path | None, typer.Option(help="Folder to write; it must not exist.", show_default="named by date and run")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder of `trainer train`; or give --bundle.", show_default="the only one")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="A signed bundle's folder, or a store: its newest bundle.", show_default=False)
    ] = None,
    trust: Annotated[Path | None, typer.Option(help="With --bundle: the root.pub; default: the store's.", show_default=False)] = None,
    in_sample: Annotated[
        bool, typer.Option("--in-sample", help="With --bundle: trade what it learned from too, and call it that.")
    ] = False,
    sleeves: Annotated[
        Path | None, typer.Option(help="With --bundle STORE: blend these sleeves by weight, as configs/sleeves.yml.", show_default=False)
    ] = None,
    risk: Annotated[
        Path | None,
        typer.Option(
            help="A risk bundle's folder, or a store: its forecasts scale the book. Default: that of --bundle's store.", show_default=False
        ),
    ] = None,
    equity: Annotated[float, typer.Option(min=1.0, help="USD in the account at the start.")] = 100_000.0,
    benchmark: Annotated[
        str,
        typer.Option(
            metavar="SYMBOL|FILE",
            help="Symbol, or an index (.csv, .parquet of session and close), to compare with it; the equal-weight universe where empty.",
        ),
    ] = "",
    config: Annotated[Path | None, typer.Option(help="Folder with portfolio.yml and execution.yml: configs; defaults without it.")] = None,
    fixed_ic: Annotated[float | None, typer.Option(min=-1, max=1, help="Size by this IC, not by the run's: for rehearsals.")] = None,
    as_json: AsJson = False,
) -> None:
    """Trade a run or a signed bundle over history: the device's portfolio and order code, the exchange of replays.

    Orders go to the opening auction of the session after the scores; every fill pays spread or auction slippage,
    impact and fees, every short borrow. No session is traded on scores of a model that had seen it: inside the
    training a run's walk-forward scores count, after it the published model's; what neither covers is refused. The
    report says who scored which session. Writes orders.parquet, fills.parquet, nav.parquet, backtest.json and a
    report with pictures; the same call writes the same bytes.

    Example: trainer backtest --run var/runs/a --data var/data/us --start 2022-01-01 --end 2023-12-31 --to var/bt/a
    """
    from signals.code_version import code_version
    from signals.config import load
    from signals.scoring.sleeve_weights import SleeveWeights
    from signals.text.documents import to_json
    from trainer.backtest.run import BacktestRequest
    from trainer.backtest.run import backtest as run_backtest
    from trainer.backtest.subject import settings_of
    from trainer.reports.backtest import report_files, rows_of
    from trainer.runs.evidence import read_evidence
    from trainer.runs.run_folder import refuse_existing, write_run
    from trainer.tasks.recipes import require_traded

    if sleeves is not None and (bundle is None or run is not None):
        raise FixInput("several sleeves are those of a store", where="--sleeves", fix="Name the store by --bundle, without --run")
    if run is None and bundle is None:
        run = one_run(workspace_of(context))
        announce("--run", run)
    if run is not None:
        require_traded(read_evidence(run), run)
    to = to or new_folder(context, "--to", "backtest", (run or bundle or data).name)
    refuse_existing(to)
    settings = settings_of(config, equity_usd=equity, fixed_ic=fixed_ic)
    request = BacktestRequest(
        run,
        data,
        start,
        end,
        settings,
        code_version("trainer"),
        benchmark,
        bundle,
        trust,
        is_in_sample_allowed=in_sample,
        risk=risk,
        sleeves=load(sleeves, SleeveWeights).weights if sleeves else {},
    )
    with progress("backtest", as_json=as_json) as step:
        found = run_backtest(request, step)
    write_run(to, {**found.files, **report_files(found.figures, found.nav)})
    text = [*aligned(rows_of(found.figures)), ""]
    text += [*(f"WARNING: {warning}" for warning in found.figures.warnings), f"Report: {to / 'report.html'}"]
    emit({**to_json(found.figures), "to": str(to)}, as_json=as_json, text="\n".join(text))


register = registered({TRAINING: (backtest,)})
