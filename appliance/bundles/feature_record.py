"""The feature values that the model scored one evening, stored in a file per evening for later explanation.

`features/<asof>_<sleeve>.json` holds the model's own float32 inputs; the row of the score job names the file and its
SHA-256.

Entry points: `FeatureRecord` (to and from bytes), `store_features` (the score job), `read_features` (a reader).

Invariants
----------
1. The values are the very bits that the model was given; z is measured over the names that were scored with them.
2. A file that is not what the score job's row names is never shown.
3. Reading needs none of the libraries that scoring needs.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from appliance.ledger.figures import FeatureFile
from appliance.system.ports import Fs
from signals.errors import FixInput, InvariantBroken
from signals.files import sha256_of
from signals.text.wording import reason_of

FORMAT = 1
FLOAT32_BYTES = 4


@dataclass(frozen=True)
class FeatureValue:
    """One feature of one name; `z` is standardised over the cross-section, both None where there is no value."""

    name: str
    value: float | None
    z: float | None


@dataclass(frozen=True)
class FeatureRecord:
    """The model's inputs of one evening.

    Attributes
    ----------
    bundle_sha256, snapshot_id : str
        The bundle that read them, and the dataset that they were computed from.
    names : tuple of str, length F
        Features in the model's order.
    symbols : tuple of str, length n
    values : bytes
        Little-endian float32 of shape (n, F), row by row; NaN where a feature is undefined.
    pictures : mapping of symbol to str
        PNG in base64, of some names.
    spec_hash : str
        Of the features' specification; empty in a record of before it was kept.
    """

    asof: date
    sleeve: str
    bundle_sha256: str
    snapshot_id: str
    names: tuple[str, ...]
    symbols: tuple[str, ...]
    values: bytes
    pictures: Mapping[str, str] = field(default_factory=dict)
    spec_hash: str = ""

    def __post_init__(self) -> None:
        expected = FLOAT32_BYTES * len(self.names) * len(self.symbols)
        if len(self.values) != expected:
            raise InvariantBroken(f"{len(self.values)} bytes of features, not {expected}")

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"{self.asof}_{self.sleeve}.json"

    def to_bytes(self) -> bytes:
        """The file's content; the same record gives the same bytes."""
        row = {
            "format": FORMAT,
            "asof": self.asof.isoformat(),
            "sleeve": self.sleeve,
            "bundle_sha256": self.bundle_sha256,
            "snapshot_id": self.snapshot_id,
            "names": self.names,
            "symbols": self.symbols,
            **({"pictures": dict(self.pictures)} if self.pictures else {}),
            **({"spec_hash": self.spec_hash} if self.spec_hash else {}),
            "float32": base64.b64encode(self.values).decode("ascii"),
        }
        return json.dumps(row, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> FeatureRecord:
        """Read a file; raise `FixInput` for anything that is none."""
        try:
            row = json.loads(content)
            if row["format"] != FORMAT:
                raise FixInput(f"recorded features have the format {row['format']!r}, not {FORMAT}")
            return cls(
                date.fromisoformat(row["asof"]),
                str(row["sleeve"]),
                str(row["bundle_sha256"]),
                str(row["snapshot_id"]),
                tuple(map(str, row["names"])),
                tuple(map(str, row["symbols"])),
                base64.b64decode(row["float32"], validate=True),
                {str(symbol): str(picture) for symbol, picture in row.get("pictures", {}).items()},
                str(row.get("spec_hash", "")),
            )
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, InvariantBroken) as error:
            raise FixInput("recorded features cannot be read", where=reason_of(error)) from None

    def of(self, symbol: str) -> tuple[FeatureValue, ...]:
        """Return what the model read of one name, in the model's order; empty for a name that was not scored."""
        if symbol not in self.symbols:
            return ()
        width, count = len(self.names), len(self.symbols)
        cells = struct.unpack(f"<{width * count}f", self.values)
        place = self.symbols.index(symbol)
        return tuple(_reading(name, cells[place * width + i], cells[i::width]) for i, name in enumerate(self.names))


def store_features(fs: Fs, folder: Path, record: FeatureRecord) -> FeatureFile:
    """Write the record below `folder`; return what the job's row says of it."""
    content = record.to_bytes()
    fs.write(folder / record.file_name, content)
    return FeatureFile(record.file_name, sha256_of(content))


def read_features(folder: Path, recorded: FeatureFile | None) -> FeatureRecord:
    """Read the record that a score job's row names.

    Raises
    ------
    FixInput
        The row names none, the file is gone, or it is not what was written.
    """
    name = recorded.file if recorded else ""
    if recorded is None or not name or Path(name).name != name:
        raise FixInput("no features were recorded that evening")
    try:
        content = (folder / name).read_bytes()
    except OSError:
        raise FixInput("the evening's features are no longer kept", where=name) from None
    if sha256_of(content) != recorded.sha256:
        raise FixInput("the evening's features are not what was recorded", where=name)
    return FeatureRecord.from_bytes(content)


def _reading(name: str, value: float, column: tuple[float, ...]) -> FeatureValue:
    if not math.isfinite(value):
        return FeatureValue(name, None, None)
    found = [cell for cell in column if math.isfinite(cell)]
    mean = math.fsum(found) / len(found)
    deviation = math.sqrt(math.fsum((cell - mean) ** 2 for cell in found) / len(found))
    return FeatureValue(name, value, (value - mean) / deviation if deviation > 0 else None)
