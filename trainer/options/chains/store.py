"""Chains on disk: a Parquet file an underlying, and a manifest that vouches for each by its hash.

    options/manifest.json         audits by underlying and day, files with their SHA-256
    options/<root>-<hash>.parquet rows in the order of day, expiration, strike, right

Invariants
----------
1. A file is never overwritten: its name holds its hash, and the manifest is written last.
2. Nothing is read that the manifest does not vouch for.
"""

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from signals.bundle.seal import canonical_json
from signals.errors import BadDataset
from signals.files import sha256_of, write_atomic
from signals.market.audits import SessionStatus
from signals.text import strict_json
from signals.text.documents import BadDocument, from_json, to_json
from signals.text.wording import reason_of
from trainer.options.chains.audit import ChainAudit
from trainer.options.chains.chain import ARRAYS, OptionChain

FOLDER, MANIFEST, QUARANTINE = "options", "manifest.json", "quarantine.parquet"


@dataclass(frozen=True)
class ChainFile:
    """One underlying's file."""

    root: str
    path: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class ChainManifest:
    """Contents of a folder of chains."""

    vendor: str
    files: tuple[ChainFile, ...]
    audits: tuple[ChainAudit, ...]
    format: str = "trademl-options-1"
    quarantined: Mapping[str, int] = field(default_factory=dict)

    @property
    def roots(self) -> tuple[str, ...]:
        """Underlyings, sorted."""
        return tuple(one.root for one in self.files)

    def status(self, root: str) -> dict[date, SessionStatus]:
        """Status of every day of an underlying."""
        return {audit.day: audit.status for audit in self.audits if audit.root == root}


def chains_of(rows: pd.DataFrame) -> Iterator[OptionChain]:
    """Yield the chain of every underlying and day of rows in the order of their key."""
    for (root, day), part in rows.groupby(["root", "quote_date"], sort=True):
        part = part.sort_values(["expiration", "strike", "right"], ascending=[True, True, False], kind="stable")
        yield OptionChain(
            str(root),
            pd.Timestamp(str(day)).date(),
            float(part["underlying"].iloc[0]),
            part["expiration"].to_numpy("datetime64[D]"),
            **{name: part[name].to_numpy(np.float64) for name in ("strike", "bid", "ask", "volume", "open_interest")},
            is_call=(part["right"] == "C").to_numpy(bool),
            restated=float(part["restated"].iloc[0]) if "restated" in part else 1.0,
            known_at=None if "known_at" not in part or part["known_at"].isna().all() else pd.Timestamp(part["known_at"].max()).date(),
        )


def write_chains(folder: Path, days: Sequence[tuple[OptionChain, ChainAudit]], *, vendor: str, quarantine: pd.DataFrame) -> ChainManifest:
    """Write audited chains, in the order of underlying and day, as the folder's content and return its manifest."""
    files = []
    for root, chains in itertools.groupby((chain for chain, _ in days), key=lambda chain: chain.root):
        content, rows = _parquet(list(chains))
        digest = sha256_of(content)
        files.append(ChainFile(root, f"{root.replace('/', '-')}-{digest[:12]}.parquet", digest, rows))
        write_atomic(folder / files[-1].path, content)
    counted: Mapping[str, int] = {}
    if len(quarantine):
        write_atomic(folder / QUARANTINE, quarantine.to_parquet(index=False))
        counted = {str(why): int(count) for why, count in quarantine["reason"].value_counts().items()}
    found = ChainManifest(vendor, tuple(files), tuple(audit for _, audit in days), quarantined=counted)
    write_atomic(folder / MANIFEST, canonical_json(to_json(found)))
    return found


def read_manifest_of_chains(folder: Path) -> ChainManifest:
    """Return the manifest of a folder of chains; raise `BadDataset` where there is none that can be read."""
    path = folder / MANIFEST
    try:
        return from_json(ChainManifest, strict_json.loads(path.read_bytes()))
    except (OSError, BadDocument, strict_json.BadJson) as error:
        fix = "Make it with `trainer options ingest`"
        raise BadDataset(f"no option chains can be read: {reason_of(error)}", where=str(path), fix=fix) from None


def read_chains_of(folder: Path, known: ChainManifest, root: str, *, with_red: bool = False) -> tuple[OptionChain, ...]:
    """Return the chains of an underlying in the order of days, the RED ones only `with_red`.

    Raises
    ------
    BadDataset
        The file is not what the manifest vouches for.
    """
    listed = next((one for one in known.files if one.root == root), None)
    if listed is None:
        raise BadDataset(f"no chains of {root}", where=str(folder), fix=f"There are {', '.join(known.roots)}")
    try:
        content = (folder / listed.path).read_bytes()
    except OSError as error:
        raise BadDataset(f"chains cannot be read: {reason_of(error)}", where=listed.path, fix="Ingest them again") from None
    if sha256_of(content) != listed.sha256:
        raise BadDataset("chains that the manifest does not vouch for: SHA-256 differs", where=listed.path, fix="Ingest them again")
    frame = pq.read_table(pa.BufferReader(content), use_threads=False).to_pandas(use_threads=False)
    status = known.status(root)
    return tuple(chain for chain in chains_of(frame) if with_red or status.get(chain.day) is not SessionStatus.RED)


def _parquet(chains: Sequence[OptionChain]) -> tuple[bytes, int]:
    columns = {name: np.concatenate([getattr(chain, name) for chain in chains]) for name in ARRAYS}
    columns["right"] = np.where(columns.pop("is_call"), "C", "P")
    by_day = {
        "root": [chain.root for chain in chains],
        "quote_date": np.array([chain.day for chain in chains], dtype="datetime64[D]"),
        "underlying": [chain.spot for chain in chains],
        "restated": [chain.restated for chain in chains],
        "known_at": np.array([chain.known_at for chain in chains], dtype="datetime64[D]"),
    }
    columns |= {name: np.repeat(np.asarray(values), [len(chain) for chain in chains]) for name, values in by_day.items()}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue(), len(columns["strike"])
