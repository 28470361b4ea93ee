"""The folder of a download: what is in it, and the record that says what it holds.

bars/<last session of the round>-<number>.parquet   raw daily bars
actions.csv, universe.csv                            corporate actions; members by date
excluded.csv                                         assets left out, and why
download.json                                        written last: without it nothing is whole
_answers/                                            answers of a round that is not finished
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypedDict

import pandas as pd
import pyarrow as pa
from pydantic import Field

from signals.config import Config, parse
from signals.errors import BadBars, FixInput
from signals.files import write_atomic
from signals.text import strict_json
from signals.text.wording import reason_of
from trainer.curation.download.selection import UniverseRule
from trainer.curation.writer import vendor_parquet

BARS, ACTIONS, UNIVERSE, EXCLUDED, RECORD, SPOOL = "bars", "actions.csv", "universe.csv", "excluded.csv", "download.json", "_answers"
TERMS = "terms.json"


class DownloadTerms(Config):
    """Terms of a download, fixed for its folder.

    Attributes
    ----------
    rule : UniverseRule or None
        None for a list of symbols.
    symbols : tuple of str
        The list; empty for the rule.
    """

    first: date
    rule: UniverseRule | None = UniverseRule()
    symbols: tuple[str, ...] = ()


class DownloadRecord(Config):
    """Record of a finished download, whole up to the session `last`, of the symbols whose daily bars were asked for.

    `survivorship` is the state that a dataset of it has, `rule` the sentence that says why, `notes` are of the newest round.
    """

    version: int = Field(default=1, ge=1, le=1)
    vendor: str
    feed: str
    terms: DownloadTerms
    last: date
    kinds_version: int
    survivorship: str
    rule: str
    asked: tuple[str, ...]
    notes: tuple[str, ...] = ()


def is_download(folder: Path) -> bool:
    """Whether `folder` is one of a download, finished or not."""
    return (folder / RECORD).is_file() or (folder / SPOOL / TERMS).is_file()


def read_record(folder: Path) -> DownloadRecord | None:
    """Return the record; None where no round was finished. Raises `BadBars` or `BadConfig` for one that is none of ours."""
    path = folder / RECORD
    fix = "Restore it from a backup, or download into another folder"
    return parse(_document(path, fix), DownloadRecord, where=str(path)) if path.is_file() else None


def bar_files(folder: Path, after: date | None = None) -> list[Path]:
    """Return the files of the rounds that ended after `after`, oldest first."""
    return [path for path in sorted((folder / BARS).glob("*.parquet")) if after is None or date.fromisoformat(path.name[:10]) > after]


class ActionAnswer(TypedDict):
    """Rows of a vendor's corporate actions, and the names of those that cannot be represented."""

    rows: list[list[str]]
    unsupported: list[str]


@dataclass(frozen=True)
class Spool:
    """Answers of the round that is being made, each whole or absent; what is there is not asked for again."""

    folder: Path

    def begin(self, terms: DownloadTerms, last: date) -> date:
        """Return the session at which the unfinished round ends, or begin one that ends at `last`.

        Raises
        ------
        FixInput
            What is unfinished was asked for in other terms.
        """
        path = self.folder / TERMS
        asked = json.dumps({"terms": terms.model_dump(mode="json"), "last": str(last)}, sort_keys=True)
        if not path.is_file():
            write_atomic(path, asked.encode())
        begun = _document(path)
        if begun["terms"] != json.loads(asked)["terms"]:
            raise FixInput(
                "an unfinished download of other terms is here",
                where=str(self.folder.parent),
                fix="Repeat its own options, or name another folder",
            )
        return date.fromisoformat(begun["last"])

    def document(self, name: str, ask: Callable[[], object]) -> object:
        """Return a kept answer, or ask and keep it."""
        path = self.folder / name
        if not path.is_file():
            write_atomic(path, json.dumps(ask(), default=str).encode())
        return _document(path)

    def clear(self) -> None:
        """Remove the answers of a finished round, the request last: without it no answer counts."""
        if self.folder.is_dir():
            for path in sorted(self.folder.glob("*"), key=lambda path: path.name == TERMS):
                path.unlink()
            self.folder.rmdir()

    def drop_finished(self, recorded: date | None) -> None:
        """Remove answers without a request, or of a round that the record holds: an interruption left them."""
        path = self.folder / TERMS
        if not path.is_file() or (recorded is not None and date.fromisoformat(_document(path)["last"]) <= recorded):
            self.clear()


def _document(path: Path, fix: str = "Delete it: it is asked for again") -> Any:
    try:
        return strict_json.loads(path.read_bytes(), decimals=float)
    except ValueError as error:
        raise BadBars(f"a kept answer is damaged ({reason_of(error)})", where=str(path), fix=fix) from None


def kept_frame(path: Path, ask: Callable[[], pd.DataFrame], vendor: str) -> pd.DataFrame:
    """Return the table at `path`; where it is absent, ask for it and keep it whole."""
    if not path.is_file():
        write_atomic(path, vendor_parquet(pa.Table.from_pandas(ask(), preserve_index=False), vendor))
    return read_frame(path)


def read_frame(path: Path) -> pd.DataFrame:
    """Read a kept table; raise `BadBars` for one that is damaged."""
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise BadBars(f"a kept answer is damaged ({reason_of(error)})", where=str(path), fix="Delete it: it is asked for again") from None


def as_csv(rows: Sequence[Mapping[Any, Any]], columns: list[str]) -> bytes:
    """Serialise rows; the same rows make the same bytes."""
    return pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n").encode()
