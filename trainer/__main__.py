"""`trainer`: the commands of the training host. This file only wires them."""

import logging
import os
from functools import cache, partial
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from signals.settings import HOME, Level
from signals.text.command_line import LazyCommands, version_option
from signals.text.console import run
from trainer.commands.defaults import ENVIRONMENT, ask, defaults, is_a_person_there
from trainer.publishing import key_files
from trainer.workspace import Places, Workspace, read

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; without it cuBLAS sums in an order of its own


class Commands(LazyCommands):
    """Commands of the training host."""

    MODULES: ClassVar = {
        "trainer.commands.init": "init",
        "trainer.commands.data": "ingest audit sessions accept-red publish-data sign-data generate generate-minutes",
        "trainer.commands.deliveries": "deliveries as-of backfill fetch download",
        "trainer.commands.bundles": "keys rotate-keys pair publish grant-rollback grant-data",
        "trainer.commands.serving": "score-daily serve outlook",
        "trainer.commands.training": "train models status validate",
        "trainer.commands.search": "search compare trials",
        "trainer.commands.backtest": "backtest",
        "trainer.commands.promotion": "promote shadow rollback history",
        "trainer.commands.lineage": "retrain compare-accounts",
        "trainer.commands.policies": "stack policy tuner publish-stack publish-policy",
        "trainer.commands.flow": "flow",
        "trainer.commands.frontier": "frontier",
        "trainer.commands.option_chains": "options",
        "trainer.commands.service": "run runs",
    }


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Curate bars, train sleeves, prove them, sign and publish bundles.",
)

UNLESS_SET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it reports usage to its makers
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # where the one JSON document of --json goes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # by default a server that is away is waited for over a quarter of an hour
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


@app.callback()
def _environment(
    context: typer.Context,
    version: bool = version_option("trainer", "trainer"),
    log_level: Annotated[Level | None, typer.Option(help="Of the log.", show_default="the workspace's")] = None,
) -> None:
    for name, value in UNLESS_SET.items():
        os.environ.setdefault(name, value)
    is_new = context.invoked_subcommand == "init"  # which is asked where nothing is yet, or inside another one
    found = Workspace(Places()) if is_new else read(Path.cwd(), os.environ.get(HOME, ""))
    logging.basicConfig(level=log_level or found.places.log_level, format="%(levelname)s %(message)s")
    key_files.PASSPHRASE.set(cache(partial(_passphrase, found.places.passphrase)))  # a person types it once a command
    context.meta[ENVIRONMENT] = dict(os.environ)
    name = context.invoked_subcommand or ""
    called = context.command.get_command(context, name) if isinstance(context.command, Commands) else None
    context.obj, context.default_map = found, defaults(found, {name: called} if called else {})


def _passphrase(file: Path | None, folder: Path) -> bytes:
    """Read the pass phrase of the keys in `folder` from its file, else ask for it, without an echo."""
    sealed = Path(os.environ.get("CREDENTIALS_DIRECTORY", "")) / "keys-passphrase"
    if file is None and sealed.is_absolute() and sealed.is_file():
        file = sealed
    if file is not None:
        return key_files.read_passphrase(file)
    if not is_a_person_there():
        return key_files.nobody(folder)
    new = not key_files.is_locked(folder)
    return ask(f"Pass phrase of the keys in {folder}", hide_input=True, confirmation_prompt=new).encode()


def main() -> None:
    """Entry point of the `trainer` command."""
    run(app)


if __name__ == "__main__":
    main()
