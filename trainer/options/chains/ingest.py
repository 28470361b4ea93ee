"""Ingests deliveries of option quotes into a folder of chains."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from signals.errors import BadBars
from signals.market.actions import Action
from signals.market.audits import SessionStatus
from trainer.curation.vendors.files import Note, no_note
from trainer.curation.vendors.mapping import ChainColumns
from trainer.options.chains.audit import audit_chain, is_repeated, repeated, splits_of
from trainer.options.chains.chain import OptionChain
from trainer.options.chains.store import ChainManifest, chains_of, read_chains_of, read_manifest_of_chains, write_chains
from trainer.options.chains.vendors import read_chains


@dataclass(frozen=True, eq=False)
class ChainDelivery:
    """Files of option quotes with their columns, the underlyings' corporate actions, and who delivered them."""

    contents: Mapping[str, bytes]
    mapping: ChainColumns
    actions: tuple[Action, ...] = ()
    vendor: str = ""


def ingest_chains(delivery: ChainDelivery, folder: Path, *, today: date, add: bool = False, note: Note = no_note) -> ChainManifest:
    """Read, audit and write chains; with `add` days that were not delivered now stay, those that were are replaced.

    Raises
    ------
    BadBars
        See `read_chains`; or no row is a quote.
    BadDataset
        With `add` what is there cannot be read.
    """
    given = read_chains(delivery.contents, delivery.mapping, today=today, note=note)
    if given.rows.empty:
        raise BadBars("no row is an option quote", where=", ".join(delivery.contents), fix="Look at what was quarantined and why")
    splits = splits_of(delivery.actions)
    judged = [audit_chain(chain, splits.get(chain.root, ())) for chain in chains_of(given.rows)]
    chains = {(chain.root, chain.day): chain for chain, _ in judged}
    audits = {(audit.root, audit.day): audit for _, audit in judged}
    if add:
        known = read_manifest_of_chains(folder)
        before: dict[tuple[str, date], OptionChain] = {
            (chain.root, chain.day): chain for root in known.roots for chain in read_chains_of(folder, known, root, with_red=True)
        }
        note(f"{len(before.keys() & chains.keys())} days were delivered before and are replaced")
        chains, audits = {**before, **chains}, {**{(one.root, one.day): one for one in known.audits}, **audits}
    order = sorted(chains)
    for earlier, later in itertools.pairwise(order):
        if earlier[0] == later[0] and is_repeated(chains[later], chains[earlier]) and audits[later].status is not SessionStatus.RED:
            audits[later] = repeated(audits[later], earlier[1])
    return write_chains(
        folder, [chains[key] for key in order], [audits[key] for key in order], vendor=delivery.vendor, quarantine=given.quarantine
    )
