"""Delivers a download to a dataset: its whole history, or what it has gained."""

from datetime import date
from pathlib import Path

from signals.errors import BadBars
from signals.market.dataset import read_manifest
from signals.market.manifest import Manifest, PriceBasis, Survivorship
from trainer.curation.config import CurationConfig
from trainer.curation.deliveries.receipts import DeliveryPart, Scope, in_force, read_receipts
from trainer.curation.download.record import ACTIONS, UNIVERSE, bar_files, read_record
from trainer.curation.ingest import DeliveryTerms, deliver
from trainer.curation.vendors.files import Note, no_note
from trainer.curation.vendors.mapping import Mapping
from trainer.curation.vendors.packing import archive


def deliver_download(
    folder: Path, dataset: Path, config: CurationConfig, *, add: bool, today: date, name: str = "", note: Note = no_note
) -> Manifest:
    """Curate a download into `dataset`, raw bars, corporate actions and members by date; return the manifest now in force.

    With `add` only the rounds since the dataset's last session are delivered, by the dataset's own name and configuration; else the
    name is the folder's where it is empty. `today` is in New York.

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
    return deliver(contents, dataset, terms, note)
