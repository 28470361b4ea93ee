"""The table of the device's commands, and the application that finds them; it contains no logic."""

from typing import Annotated, ClassVar

import typer

from appliance.config import set_log_level
from signals.settings import Level
from signals.text.command_line import LazyCommands, version_option


class Commands(LazyCommands):
    """Commands of the device."""

    MODULES: ClassVar = {
        "appliance.commands.setup": "setup keys trust init arm",
        "appliance.commands.run_jobs": "pull score plan trade confirm reconcile report job run-day tick run attend brief",
        "appliance.commands.halt_and_rearm": "halt acknowledge rearm pause cancel-all",
        "appliance.commands.account_book": "adopt keep flatten accept rebuild",
        "appliance.commands.rollback": "rollback-bundle rollback-data",
        "appliance.commands.ledger_backups": "backup backups restore",
        "appliance.commands.status": "status timetable",
        "appliance.commands.doctor": "doctor",
        "appliance.commands.unit_failure": "tell-unit",
        "appliance.commands.ledger_queries": "overview blotter trace orders trades symbol signals positions tripwires jobs runs data "
        "bundle shadow performance reconciliation halts alerts logs attribution expectation drift",
        "appliance.commands.serving": "serve outlook",
        "appliance.commands.replay": "replay",
        "appliance.commands.tripwire_backtest": "tripwire-backtest",
        "appliance.commands.may_update": "may-update",
        "appliance.commands.option_structures": "structures",
        "appliance.commands.events": "events outcomes arms sizes",
        "appliance.commands.tui": "tui",
    }


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Pull, score, plan, trade, reconcile, report, halt: one device, one account, one book.\n\n"
    "Exit codes: 0 done, 1 a verdict that says no, 2 correct the input, 3 the session is skipped, 4 halted, 5 try "
    "again later, 6 a bundle was refused, 71 the machine failed, 70 a fault of this program. `status` has its own: "
    "0 ok, 1 degraded, 2 halted, 3 down.",
)


@app.callback()
def _program(
    version: bool = version_option("appliance", "appliance"),
    log_level: Annotated[Level | None, typer.Option(help="Of the log; default: that of the settings.", show_default=False)] = None,
) -> None:
    set_log_level(log_level)
