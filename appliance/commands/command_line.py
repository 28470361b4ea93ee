"""Registers every family of commands on one typer application; it contains no logic."""

from typing import Annotated

import typer

from appliance.commands import (
    account_book,
    doctor,
    events,
    guided_setup,
    halt_and_rearm,
    ledger_backups,
    ledger_queries,
    may_update,
    option_structures,
    replay,
    rollback,
    run_jobs,
    serving,
    setup,
    status,
    tripwire_backtest,
    tui,
    unit_failure,
)
from appliance.settings import set_log_level
from signals.settings import Level
from signals.text.version_option import version_option

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Pull, score, plan, trade, reconcile, report, halt: one device, one account, one book.\n\n"
    "Exit codes: 0 done, 1 a verdict that says no, 2 correct the input, 3 the session is skipped, 4 halted, 5 try "
    "again later, 6 a bundle was refused, 71 the machine failed, 70 a fault of this program. `status` has its own: "
    "0 ok, 1 degraded, 2 halted, 3 down.",
)
FAMILIES = (
    guided_setup,
    setup,
    run_jobs,
    halt_and_rearm,
    account_book,
    rollback,
    ledger_backups,
    status,
    doctor,
    unit_failure,
    ledger_queries,
    serving,
    replay,
    tripwire_backtest,
    may_update,
    option_structures,
    events,
    tui,
)
for family in FAMILIES:
    family.register(app)


@app.callback()
def _program(
    version: bool = version_option("appliance", "appliance"),
    log_level: Annotated[Level | None, typer.Option(help="Of the log; default: that of the settings.", show_default=False)] = None,
) -> None:
    set_log_level(log_level)
