"""Sources of an evening's bars: a vendor's interface, or a folder of deliveries."""

from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Protocol

from signals.errors import FixInput
from trainer.curation.backfill import backfill
from trainer.curation.config import CurationConfig
from trainer.curation.deliveries.receipts import DeliveryPart, Scope
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest, whole_delivery
from trainer.curation.vendor import BarVendor
from trainer.curation.vendors.mapping import Mapping


class Source(Protocol):
    """Brings what is new into the dataset."""

    def bring(self, data: Path, asof: date, today: date, taken: Collection[str]) -> tuple[str, ...]:
        """Curate what there is up to asof; return the names of the deliveries that were taken, to be remembered."""


class NoSource:
    """Somebody else ingests."""

    def bring(self, data: Path, asof: date, today: date, taken: Collection[str]) -> tuple[str, ...]:
        """Do nothing."""
        return ()


class VendorSource:
    """A vendor that is asked for what is missing."""

    def __init__(self, vendor: BarVendor) -> None:
        self._vendor = vendor

    def bring(self, data: Path, asof: date, today: date, taken: Collection[str]) -> tuple[str, ...]:
        """Fill what the dataset lacks up to asof."""
        backfill(data, self._vendor, None, asof, today=today)
        return ()


class FolderSource:
    """A folder of deliveries, each a folder with `bars.*`, `actions.*` and `universe.*`, as far as it has them.

    A delivery appears whole: it is written under a name that begins with a dot, and renamed. Files are never changed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def bring(self, data: Path, asof: date, today: date, taken: Collection[str]) -> tuple[str, ...]:
        """Ingest every delivery that was not taken before, in the order of their names."""
        if not self._folder.is_dir():
            raise FixInput(
                "the folder of deliveries is not there", where=str(self._folder), fix="Make it, or correct source.path in service.yml"
            )
        new = [path for path in sorted(self._folder.glob("[!.]*")) if path.is_dir() and path.name not in taken]
        first = whole_delivery(data)
        terms = DeliveryTerms(
            mapping=Mapping(),
            basis=first.basis,
            config=CurationConfig.model_validate(first.config),
            name=first.name,
            scope=Scope.ROWS,
            today=today,
            vendor=first.vendor,
        )
        for path in new:
            files = {part: _only(path, part) for part in DeliveryPart}
            if not any(files.values()):
                parts = ", ".join(f"{part}.*" for part in DeliveryPart)
                raise FixInput(f"a delivery without any of {parts}", where=str(path), fix="Complete it, or remove the folder")
            ingest(DeliveryFiles(*(files[part] for part in DeliveryPart)), data, terms)
        return tuple(path.name for path in new)


def _only(folder: Path, part: DeliveryPart) -> Path | None:
    found = sorted(folder.glob(f"{part}.*"))
    if len(found) > 1:
        raise FixInput(f"two files of {part} in one delivery", where=", ".join(map(str, found)), fix="Leave one")
    return found[0] if found else None
