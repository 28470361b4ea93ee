"""`trainer`: the commands of the training host. This file only wires them."""

import logging
import os
from functools import cache, partial
from pathlib import Path
from typing import Annotated

import typer

from signals.settings import HOME, Level
from signals.text.console import run
from signals.text.version_option import version_option
from trainer.commands import (
    accounts,
    backtest,
    bundles,
    data,
    deliveries,
    download,
    flow,
    frontier,
    init,
    lineage,
    minutes,
    models,
    option_chains,
    policies,
    promotion,
    scoring,
    search,
    service,
    serving,
    stacking,
    stages,
    training,
)
from trainer.commands.defaults import ask, defaults, is_a_person_there
from trainer.publishing import key_files
from trainer.workspace import Places, Workspace, read

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; without it cuBLAS sums in an order of its own

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Curate bars, train sleeves, prove them, sign and publish bundles.",
)
init.register(app)
data.register(app)
minutes.register(app)
deliveries.register(app)
download.register(app)
bundles.register(app)
scoring.register(app)
serving.register(app)
training.register(app)
models.register(app)
search.register(app)
backtest.register(app)
promotion.register(app)
lineage.register(app)
accounts.register(app)
stacking.register(app)
policies.register(app)
stages.register(app)
flow.register(app)
frontier.register(app)
option_chains.register(app)
service.register(app)

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
    context.meta[service.ENVIRONMENT] = dict(os.environ)
    context.obj, context.default_map = found, defaults(found, getattr(context.command, "commands", {}))


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
