"""`trainer`: the commands of the training host. This file only wires them."""

from __future__ import annotations

import typer

from signals.console import run
from trainer.commands import bundles, data, search, training

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False,
    help="Curate bars, train sleeves, prove them, sign and publish bundles.",
)  # fmt: skip
data.register(app)
bundles.register(app)
training.register(app)
search.register(app)


def main() -> None:
    """Entry point of the `trainer` command."""
    run(app)


if __name__ == "__main__":
    main()
