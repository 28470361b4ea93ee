"""The workspace of the training host: where data, runs, registry, keys, store and recipes are, unless an option says otherwise.

`workspace.yml` is found upwards from the current folder, or in the folder that `TRADEML_HOME` names; its paths are relative to
it. A flag beats a `TRADEML_` variable, a variable beats the file. `trainer.yml` in the current folder, which had the place of
the file before, is read for one version more.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from signals.config import Config, read_mapping
from signals.errors import BadConfig, FixInput
from signals.files import write_atomic
from signals.settings import HOME, Level, settle
from signals.storage.places import is_s3

FILE, BEFORE, VERSION = "workspace.yml", "trainer.yml", 1
FOLDERS = ("data", "runs", "registry", "keys", "store", "recipes")  # of a workspace whose file does not name others
PATHS = (*FOLDERS, "bars", "portfolio", "passphrase")
TEMPLATE = f"""\
# A workspace of `trainer`. Paths are relative to this file; a flag beats a variable (TRADEML_DATA ...), a variable beats it.
version: {VERSION}
data: data          # a dataset, or the folder of datasets that `trainer ingest --bars FILE` makes
runs: runs          # runs, searches, comparisons and stacks, named by date and configuration
registry: registry  # verdicts, champions and openings
keys: keys          # made by `trainer keys`; move its root.key offline
store: store        # what devices pull: a folder, or s3://bucket/prefix
recipes: recipes    # <sleeve>.yml here takes the place of the sleeve's own recipe
# bars: bars.yml    # promotion bars, rules of lineages, thresholds of curation, in place of the shipped ones
# passphrase: /home/you/passphrase  # of keys made by `trainer keys --one-file`
# portfolio: portfolio.yml  # the policy that devices hold
"""


class Places(Config):
    """Each is the default of the options that ask for it, whose help says what it is; None leaves the command's own."""

    data: Path | None = None
    runs: Path | None = None
    registry: Path | None = None
    keys: Path | None = None
    store: str | None = None
    recipes: Path | None = None
    bars: Path | None = None
    portfolio: Path | None = None
    passphrase: Path | None = None
    storage: str | None = None
    tracking: str | None = None
    cluster: str | None = None
    log_level: Level = "WARNING"


@dataclass(frozen=True)
class Workspace:
    """What the file and the environment say; `file` is None where there is none."""

    places: Places
    file: Path | None = None

    def datasets(self) -> list[Path]:
        """Return the datasets of `data`: itself where it is one, else those in it, by name."""
        return _holding(self.places.data, "manifest.json")

    def runs(self, document: str = "evidence.json") -> list[Path]:
        """Return the folders among the runs that hold a document, those of trainings by default, the newest name first."""
        return _holding(self.places.runs, document)[::-1]

    def recipe(self, sleeve: str) -> Path | None:
        """Return the workspace's own recipe of a sleeve; None where it has none."""
        found = self.places.recipes / f"{sleeve}.yml" if self.places.recipes else None
        return found if found and found.exists() else None

    def new(self, at: datetime, *names: str) -> Path:
        """Return a folder of runs that does not exist yet, named by an instant, UTC, and `names`; raise `FixInput` without a workspace."""
        name = "-".join([f"{at:%Y-%m-%d-%H%M}", *names])
        folder: Path = self.require("runs", "run")
        return next(path for path in (folder / f"{name}{mark}" for mark in ("", *(f"-{n}" for n in range(2, 1000)))) if not path.exists())

    def require(self, key: str, option: str) -> Any:
        """Return a place; raise `FixInput` where neither a workspace nor a variable gives it."""
        if (found := getattr(self.places, key)) is not None:
            return found
        if self.file is not None:
            raise FixInput(f"--{option} is not given, and no {key} by {self.file}", fix=f"Give it, or write `{key}: FOLDER` there")
        raise FixInput(
            f"--{option} is not given, and there is no {FILE} here or above",
            fix="Make a workspace of your own bars: `trainer init`, then `trainer ingest --bars FILE`",
            also="Or see everything work on an invented market first: `make demo`",
        )


def read(here: Path, home: str = "") -> Workspace:
    """Return the workspace that holds `here`, or that of `home`.

    Raises
    ------
    FixInput
        There is none at `home`, it is somebody else's, or its file is of another version, has an unknown key or a wrong value;
        or a `TRADEML_` variable names nothing.
    """
    file = _found(here, home)
    content = read_mapping(file) if file else {}
    if file and file.name == FILE:
        if content.get("version") != VERSION:
            raise BadConfig(
                f"a workspace of version {content.get('version', 'none')}; this program reads version {VERSION}",
                where=str(file),
                fix="Use the release that made it, or make another one with `trainer init`",
            )
        content = {**dict.fromkeys(FOLDERS), **{key: value for key, value in content.items() if key != "version"}}
        content = {key: key if value is None and key in FOLDERS else value for key, value in content.items()}
    if file:
        content = {key: _below(file.parent, key, value) for key, value in content.items()}
    return Workspace(settle(Places, content, where=str(file or FILE)), file)


def make(folder: Path) -> Path:
    """Write a new workspace; raise `FixInput` where there is one."""
    file = folder / FILE
    if file.exists():
        raise FixInput("there is a workspace", where=str(file), fix="Edit it, or name another folder")
    for name in ("data", "runs", "recipes"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_atomic(file, TEMPLATE.encode())
    return file


def _found(here: Path, home: str) -> Path | None:
    if home:
        if not (Path(home) / FILE).is_file():
            raise FixInput(f"{HOME} names a folder without {FILE}", where=home, fix="Make one: `trainer init`, or unset the variable")
        return Path(home) / FILE
    for folder in (here, *here.parents):
        file = folder / FILE
        if file.is_file():
            if file.stat().st_uid not in (0, os.getuid()):
                raise FixInput("this workspace is another user's", where=str(file), fix=f"Set {HOME} to its folder to use it")
            return Path(os.path.relpath(file))
    return Path(os.path.relpath(here / BEFORE)) if (here / BEFORE).is_file() else None


def _below(root: Path, key: str, value: Any) -> Any:
    """Place a relative path in the folder of the file that names it."""
    return str(root / value) if key in PATHS and isinstance(value, str) and not is_s3(value) else value


def _holding(folder: Path | None, name: str) -> list[Path]:
    """Return `folder` where it holds the file `name`, else its folders that do, sorted."""
    if folder is None or (folder / name).is_file():
        return [folder] if folder else []
    return sorted(path.parent for path in folder.glob(f"[!.]*/{name}"))
