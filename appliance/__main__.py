"""Entry point of the `appliance` command; `appliance.commands.command_line` assembles it."""

import logging
import sys

from appliance.commands.tui import SCREENS, open_screens
from signals.text.console import run


def main() -> None:
    """Entry point of the `appliance` command."""
    if sys.argv[1:2] == [SCREENS]:
        open_screens(sys.argv[2:])
    from appliance.commands.command_line import app  # a second's worth of libraries, of which the screens need none

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    run(app)


if __name__ == "__main__":
    main()
