"""Entry point of the screens as a process of their own (`python -m appliance.tui`)."""

import argparse
import gc
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from appliance.daemon.control_socket import SOCKET_NAME
from appliance.system.clock import SystemClock
from appliance.system.operator import who
from appliance.tui import terminal
from appliance.tui.app import AnswerSource, ApplianceApp, TuiSettings
from appliance.tui.ledger_source import LedgerSource
from signals.text.console import run

DEFAULT_STATE = Path("var/appliance")
DEMO_NOTE = "DEMO: an invented device; nothing here is real and nothing is sent"
SAYS = """Open the screens of a device: whether all is well, what is held, and why each order was sent.

They read the ledger and change nothing. A halt, a re-arming or a cancellation is asked of the running daemon, after
a typed word. `appliance serve` shows a page in a browser instead. Press ? for the keys."""


def main() -> None:
    """Open them as the command line asks."""
    asked = _parsed(sys.argv[1:])
    terminal.require()
    temporary = tempfile.TemporaryDirectory(prefix="appliance-demo-", ignore_cleanup_errors=True)
    with temporary as folder:
        clock = SystemClock()
        source = _invented(Path(folder), asked.seed, clock) if asked.demo else LedgerSource(asked.state, clock)
        settings = TuiSettings(
            exports=asked.exports,
            by=who(),
            note=DEMO_NOTE if asked.demo else "",
            socket=None if asked.demo else asked.state / SOCKET_NAME,
            remembered=None if asked.demo else _own_files() / "screens.json",
        )
        screens = ApplianceApp(source, settings)
        keep_what_is_loaded()
        terminal.end_with_it(temporary.cleanup)
        screens.run()


def _invented(root: Path, seed: int, clock: SystemClock) -> AnswerSource:
    from appliance.tui.demo.source import DemoSource  # a device's default limits come by pydantic, 8 MB that the screens do without

    return DemoSource(root, seed, clock)


def _own_files() -> Path:
    """The folder of what a program keeps for its user between two starts."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "trademl"


def keep_what_is_loaded() -> None:
    """Exempt what is loaded from garbage collection: looking through it all would hold a key up for 60 ms."""
    gc.collect()
    gc.freeze()


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the options by the standard library: what the other commands read theirs with would weigh 11 MB here."""
    parser = argparse.ArgumentParser(
        "appliance tui", description=SAYS, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    state = Path(os.environ.get("TRADEML_STATE") or os.environ.get("STATE_DIRECTORY") or DEFAULT_STATE)
    parser.add_argument("--state", type=Path, default=state, help="The device's state folder (%(default)s).")
    parser.add_argument("--demo", action="store_true", help="Show an invented device: no settings, network or keys.")
    parser.add_argument("--seed", type=int, default=7, help="Of the invented device (%(default)s).")
    parser.add_argument("--exports", type=Path, default=Path(), help="Folder that exported tables go to (%(default)s).")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run(main)
