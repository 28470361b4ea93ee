"""`service.yml` of a workspace: where bars come from, how often each row runs, and what is kept."""

from collections.abc import Callable, Collection
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from pydantic import Field, field_validator

from signals.config import Config, parse, read_mapping
from signals.errors import FixInput
from trainer.curation.backfill import backfill
from trainer.curation.deliveries.receipts import DeliveryPart
from trainer.curation.ingest import BarVendor, DeliveryFiles, added_terms, ingest, whole_delivery
from trainer.service.timetable import CADENCE, Cadence

FILE = "service.yml"
Rows = TypeVar("Rows", bound=Collection[str])


class SourceKind(StrEnum):
    """Where the bars of each evening come from."""

    ALPACA = "alpaca"
    FOLDER = "folder"
    NONE = "none"


class SourceConfig(Config):
    """The source of the evening's bars.

    Attributes
    ----------
    kind : SourceKind
        `folder` takes deliveries: a folder for each below `path`, named so that later ones sort later, with `bars.*`,
        `actions.*`, `universe.*`. `none` leaves ingestion to a person.
    url, feed : str
        Of Alpaca's data.
    """

    kind: SourceKind = SourceKind.NONE
    path: Path | None = None
    url: str = "https://data.alpaca.markets"
    feed: str = "sip"


class ChallengeConfig(Config):
    """Settings of a challenger: its sleeve, the recipe of the workspace or the sleeve's own, and how many sets are tried."""

    sleeve: str = "equities_xs"
    trials: int = Field(default=50, ge=0)


class ServiceSettings(Config):
    """Settings of `trainer run`.

    Attributes
    ----------
    cadence : mapping of row to Cadence
        Of the rows that do not have their own.
    news : tuple of str
        Rows of whose good end, or refusal by their rules, a person is notified too; of a failed or missed one always.
    credentials : Path or None
        Folder of key files: of the vendor, of the store, and `alert-urls`.
    endpoint : str
        Of an object store that is not Amazon's.
    keep_runs : int
        Runs, newest first, that keep the files which a training makes again.
    keep_bundles : int
        Bundles of a place in the store, newest first, that stay although a retraining took their place.
    warn_free_disk, least_free_disk : float
        Shares of the disk: below one more is removed and a person notified, below the other nothing is trained.
    """

    source: SourceConfig = SourceConfig()
    cadence: dict[str, Cadence] = Field(default={})
    challenge: ChallengeConfig = ChallengeConfig()
    news: tuple[str, ...] = ("retrain", "challenge")
    credentials: Path | None = None
    endpoint: str = ""
    workers: int = Field(default=1, ge=1)
    keep_runs: int = Field(default=26, ge=1)
    keep_bundles: int = Field(default=26, ge=1)
    warn_free_disk: float = Field(default=0.10, ge=0, lt=1)
    least_free_disk: float = Field(default=0.03, ge=0, lt=1)

    @field_validator("cadence", "news")
    @classmethod
    def _names_rows(cls, given: Rows) -> Rows:
        if unknown := sorted(set(given) - set(CADENCE)):
            raise ValueError(f"no row {', '.join(unknown)}; there are: {', '.join(CADENCE)}")
        return given


def read_settings(folder: Path) -> ServiceSettings:
    """Read `service.yml` of a workspace; none means the defaults. Paths are relative to it."""
    file = folder / FILE
    found = parse(read_mapping(file) if file.exists() else {}, ServiceSettings, where=str(file))
    below = {"path": folder / found.source.path} if found.source.path else {}
    credentials = folder / found.credentials if found.credentials else None
    return found.model_copy(update={"source": found.source.model_copy(update=below), "credentials": credentials})


Source = Callable[[Path, date, date, Collection[str]], tuple[str, ...]]
"""Curates into a dataset what there is up to asof, on a day in New York: given the deliveries that were taken, returns those taken now."""


def no_source(data: Path, asof: date, today: date, taken: Collection[str]) -> tuple[str, ...]:
    """Do nothing: somebody else ingests."""
    return ()


def vendor_source(vendor: BarVendor) -> Source:
    """Return a source that asks a vendor for what the dataset lacks."""

    def bring(data: Path, asof: date, today: date, taken: Collection[str]) -> tuple[str, ...]:
        backfill(data, vendor, None, asof, today=today)
        return ()

    return bring


def folder_source(folder: Path) -> Source:
    """Return a source that ingests every delivery that was not taken before, in the order of their names.

    Each is a folder with `bars.*`, `actions.*` and `universe.*`, as far as it has them. It appears whole: it is written under a name
    that begins with a dot, and renamed. Files are never changed.
    """

    def bring(data: Path, asof: date, today: date, taken: Collection[str]) -> tuple[str, ...]:
        if not folder.is_dir():
            raise FixInput("the folder of deliveries is not there", where=str(folder), fix="Make it, or correct source.path in service.yml")
        new = [path for path in sorted(folder.glob("[!.]*")) if path.is_dir() and path.name not in taken]
        first = whole_delivery(data)
        terms = added_terms(first, today, first.vendor)
        for path in new:
            files = {part: _only(path, part) for part in DeliveryPart}
            if not any(files.values()):
                parts = ", ".join(f"{part}.*" for part in DeliveryPart)
                raise FixInput(f"a delivery without any of {parts}", where=str(path), fix="Complete it, or remove the folder")
            ingest(DeliveryFiles(*(files[part] for part in DeliveryPart)), data, terms)
        return tuple(path.name for path in new)

    return bring


def _only(folder: Path, part: DeliveryPart) -> Path | None:
    found = sorted(folder.glob(f"{part}.*"))
    if len(found) > 1:
        raise FixInput(f"two files of {part} in one delivery", where=", ".join(map(str, found)), fix="Leave one")
    return found[0] if found else None
