"""Ingest: vendors' files in, the next version of a curated dataset out.

Entry point: `ingest`. Everything is read, checked and computed before the first byte is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from signals.actions import Action
from signals.errors import BadBars
from signals.manifest import Manifest, PriceBasis
from trainer.curation.config import CurationConfig
from trainer.curation.curate import calendar_for, curate
from trainer.curation.vendors.actions import read_actions
from trainer.curation.vendors.bars import read_bars
from trainer.curation.vendors.files import vendor_of
from trainer.curation.vendors.mapping import Mapping
from trainer.curation.vendors.universe import read_universe
from trainer.curation.writer import Delivery, write_dataset


@dataclass(frozen=True)
class Sources:
    """The files of one delivery; actions and universe may be absent."""

    bars: Path
    actions: Path | None = None
    universe: Path | None = None


def ingest(
    sources: Sources, folder: Path, *, mapping: Mapping, basis: PriceBasis, config: CurationConfig, name: str = ""
) -> Manifest:
    """Curate the delivery into the dataset `folder` and return the manifest now in force.

    Raises
    ------
    BadBars
        A file cannot be read as what it should be; nothing was written.
    BadDataset
        The folder holds a dataset whose manifest cannot be trusted; nothing was written.
    """
    delivery = _read(sources.bars)
    frame = read_bars(delivery, mapping.bars, where=sources.bars.name)
    kept = [Delivery(sources.bars.name, delivery, len(frame))]
    calendar = calendar_for(frame)
    actions: tuple[Action, ...] = ()
    universe = None
    if sources.actions is not None:
        content = _read(sources.actions)
        actions = read_actions(content, mapping.actions, calendar, where=sources.actions.name)
        kept.append(Delivery(sources.actions.name, content, len(actions)))
    if sources.universe is not None:
        content = _read(sources.universe)
        universe = read_universe(content, mapping.universe, where=sources.universe.name)
        kept.append(Delivery(sources.universe.name, content, universe.num_rows))
    vendor = vendor_of(delivery, where=sources.bars.name)
    curated = curate(
        frame, actions, universe, calendar, name=name or folder.name, vendor=vendor, basis=basis, config=config
    )
    return write_dataset(folder, curated, tuple(kept))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadBars("no such file", where=str(path), mend="Check the path") from None
    except OSError as error:
        raise BadBars(f"unreadable ({error.strerror})", where=str(path), mend="Check the path and its rights") from None
