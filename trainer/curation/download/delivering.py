"""Delivers a download to a dataset: its whole history, or what it has gained.

Entry points: `deliver_download`; `refresh`, the nightly one, which asks the vendor first.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from signals.errors import BadBars
from signals.market.dataset import read_manifest
from signals.market.manifest import Manifest, PriceBasis, Survivorship
from trainer.curation.config import CurationConfig
from trainer.curation.deliveries.receipts import DeliveryPart, Scope, in_force, read_receipts
from trainer.curation.download.download import HistorySource, Step, download
from trainer.curation.download.record import ACTIONS, UNIVERSE, DownloadRecord, bar_files, read_record
from trainer.curation.ingest import DeliveryTerms, deliver
from trainer.curation.vendors.files import Note, no_note
from trainer.curation.vendors.mapping import Mapping
from trainer.curation.vendors.packing import archive


@dataclass(frozen=True)
class Delivered:
    """A dataset after a delivery, and the record of the download that was delivered."""

    manifest: Manifest
    record: DownloadRecord


def deliver_download(
    folder: Path, dataset: Path, config: CurationConfig, *, add: bool, today: date, name: str = "", note: Note = no_note
) -> Delivered:
    """Curate a download into `dataset`: raw bars, corporate actions, members by date.

    Parameters
    ----------
    config : CurationConfig
        Of a whole delivery; one that adds keeps the dataset's own.
    add : bool
        Deliver only the rounds since the dataset's last session.
    today : date
        In New York.
    name : str
        Of the dataset; its folder's where empty.

    Raises
    ------
    BadBars
        The download is not finished, or it cannot be added to what is there.
    """
    record = read_record(folder)
    if record is None:
        raise BadBars("this download is not finished", where=str(folder), fix="Repeat `trainer download`: it goes on where it stopped")
    held = in_force(read_receipts(dataset))
    is_whole = not (add and held)
    files = bar_files(folder, None if is_whole else read_manifest(dataset).last)
    contents: dict[DeliveryPart, tuple[str, bytes]] = {}
    if files:
        contents[DeliveryPart.BARS] = ("bars.zip", archive([(path.name, path) for path in files]))
    for part, file in ((DeliveryPart.ACTIONS, ACTIONS), (DeliveryPart.UNIVERSE, UNIVERSE)):
        if (folder / file).is_file():
            contents[part] = (file, (folder / file).read_bytes())
    settings = config.model_copy(update={"all_assets": record.survivorship == Survivorship.RECONSTRUCTED})
    terms = DeliveryTerms(
        mapping=Mapping(),
        basis=PriceBasis.RAW,
        config=settings if is_whole else CurationConfig.model_validate(held[0].config),
        name=name if is_whole else held[0].name,
        scope=Scope.WHOLE if is_whole else Scope.ROWS,
        today=today,
        vendor=record.vendor,
    )
    return Delivered(deliver(contents, dataset, terms, note), record)


def refresh(
    folder: Path,
    dataset: Path,
    source: HistorySource,
    last: date,
    *,
    today: date,
    note: Note = no_note,
    step: Step = lambda name, done, of: None,
) -> Delivered:
    """Bring a finished download up to the session `last` and add what it gained to `dataset`: the nightly entry point.

    At a month's end names are screened and members chosen anew; the audit of the dataset shows who entered and left.
    Twice in an evening, nothing is asked for or written again. Raises as `download` and `deliver_download`.
    """
    record = read_record(folder)
    if record is None:
        raise BadBars("there is no finished download here", where=str(folder), fix="Make one with `trainer download`")
    download(folder, source, record.terms, last, note=note, step=step)
    return deliver_download(folder, dataset, CurationConfig(), add=True, today=today, note=note)
