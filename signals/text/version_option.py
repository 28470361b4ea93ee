"""`--version` of every command line. Not in `signals.text.console`, which the screens load without typer."""

from typing import Any

import typer

from signals.code_version import code_version


def version_option(program: str, package: str) -> Any:
    """Return the option `--version` of a program: print its name with the release and hash of what is run, and exit.

    Parameters
    ----------
    program : str
        As it is called.
    package : str
        The package on top of the shared ones: what `code_version` hashes.
    """

    def show(is_asked: bool) -> None:
        if is_asked:
            typer.echo(f"{program} {code_version(package)}")
            raise typer.Exit

    return typer.Option(False, "--version", callback=show, is_eager=True, help="Print the release and the hash of the sources.")
