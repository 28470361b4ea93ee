"""Parts of every command line: its option `--version`, and commands whose modules are imported when one of them is called.

Not in `signals.text.console`, which the screens load without typer.
"""

from collections.abc import Mapping, MutableMapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from signals.code_version import code_version
from signals.errors import InvariantBroken


class LazyCommands(TyperGroup):
    """A program's commands, each imported when it is called: a halt does not wait for the libraries of a replay.

    Help, and a name that no module has, import them all, in the order of the table.
    """

    MODULES: ClassVar[Mapping[str, str]] = {}  # each module, whose `register` puts commands on an application, and their names

    @property
    def commands(self) -> MutableMapping[str, Any]:
        """Every command by its name."""
        return {name: command for module in self.MODULES for name, command in self._of(module).items()}

    @commands.setter
    def commands(self, none: MutableMapping[str, Any]) -> None:
        if none:
            raise InvariantBroken("a command that no module of the table registers", where=", ".join(none))
        self._loaded: dict[str, MutableMapping[str, Any]] = {}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of this name, None where there is none."""
        module = next((module for module, names in self.MODULES.items() if cmd_name in names.split()), None)
        return super().get_command(ctx, cmd_name) if module is None else self._of(module).get(cmd_name)

    def _of(self, module: str) -> MutableMapping[str, Any]:
        if module not in self._loaded:
            import_module(module).register(app := typer.Typer())
            self._loaded[module] = typer.main.get_group(app).commands
        return self._loaded[module]


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
