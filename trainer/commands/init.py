"""`trainer init`: makes a workspace, from which every other command takes what is not given."""

from pathlib import Path
from typing import Annotated

import typer

from signals.settings import HOME
from signals.text.console import emit
from trainer.commands.options import DATA, AsJson, registered
from trainer.workspace import make


def init(
    at: Annotated[Path, typer.Option(envvar=HOME, help="Folder to make it in.", show_default="the current one")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Make a workspace: workspace.yml, which says where data, runs, registry, keys and store are.

    It holds in its folder and below, and anywhere with the variable TRADEML_HOME. An option that is not given is taken from it
    and printed, where there is exactly one candidate.

    Example: trainer init --at market
    """
    file = make(at)
    steps = (
        "trainer ingest --bars FILE (`trainer download` makes one from a paper account's keys)",
        "trainer train --preset small",
        "trainer keys",
        "trainer publish-data",
        "trainer publish --role evaluation",
        "trainer pair",
    )
    inside = [] if at.resolve() == Path.cwd() else [f"cd {at}"]
    emit({"workspace": str(file)}, as_json=as_json, text=f"Made {file}. Next: {'; '.join([*inside, *steps])}")


register = registered({DATA: (init,)})
