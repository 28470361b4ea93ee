"""The bundle manifest: sleeve, role, features, files with hashes, evidence, validity period and sequence number.

Invariants, held at construction
--------------------------------
1. `bundle_id` is derived from the content: everything but itself and `created`.
2. A champion carries the promotion record of exactly its model files, given on its evidence; an evaluation carries
   its refusal.
3. Paths are plain file names, each listed once; every needed part is there exactly once, models at least once.
4. `spec_hash` is the hash of the ordered features that the manifest itself lists.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field, JsonValue, model_validator

from signals.bundle.seal import Document, canonical_json
from signals.features.panel import spec_hash
from signals.files import sha256_of

FORMAT = "trademl-bundle/1"
MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.sig"
MAX_MANIFEST_BYTES = 1024 * 1024
DEFAULT_EXPIRY_SESSIONS = 70
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
HEX_64 = r"^[0-9a-f]{64}$"


class Role(StrEnum):
    """What a bundle may be used for."""

    CHAMPION = "champion"
    SHADOW = "shadow"
    EVALUATION = "evaluation"


class Part(StrEnum):
    """What a file of the bundle is."""

    MODEL = "model"
    GOLDEN = "golden"
    DRIFT = "drift"
    EVIDENCE = "evidence"
    TRAINING = "training"


class BundleFile(Document):
    """One file: its plain name, what it is, its size in bytes and its SHA-256."""

    path: str
    part: Part = Field(strict=False)
    size: int = Field(ge=1)
    sha256: str = Field(pattern=HEX_64)

    @model_validator(mode="after")
    def _path_is_plain(self) -> BundleFile:
        if not PLAIN_NAME.fullmatch(self.path) or self.path in (MANIFEST_NAME, SIGNATURE_NAME):
            raise ValueError(f"{self.path!r} is not a plain file name inside the bundle")
        return self


class FeatureLine(Document):
    """One feature as the model receives it."""

    name: str
    units: str
    lookback_sessions: int = Field(ge=1)
    dtype: Literal["float32"] = "float32"


class InformationCoefficient(Document):
    """Walk-forward rank IC of the model: mean per session, t and standard error under overlapping labels."""

    mean: float
    t: float
    standard_error: float = Field(ge=0)


class Graph(Document):
    """What the static check of the ONNX files must find."""

    input: Literal["features"] = "features"
    output: Literal["score"] = "score"
    opsets: dict[str, int]
    nodes: int = Field(ge=1)


class Trainer(Document):
    """Which program on which data made the model."""

    code_version: str
    lock_sha256: str
    config_sha256: str
    snapshot_ids: tuple[str, ...] = Field(min_length=1)
    seed: int


class Promotion(Document):
    """Why a bundle may be a champion: the verdict, and the models it was given for."""

    verdict: Literal["promoted"]
    model_sha256: tuple[str, ...] = Field(min_length=1)
    record: dict[str, JsonValue]


class BundleManifest(Document):
    """The content of `manifest.json`; `docs/bundle.md` describes every key."""

    format: Literal["trademl-bundle/1"] = "trademl-bundle/1"
    bundle_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    seq: int = Field(ge=1)
    created: datetime
    role: Role = Field(strict=False)
    refusal: str | None = None
    promotion: Promotion | None = None
    sleeve: str
    features: tuple[FeatureLine, ...] = Field(min_length=1)
    spec_hash: str = Field(pattern=HEX_64)
    horizon_sessions: int = Field(ge=1)
    entry: Literal["opg", "cls", "day"]
    calendar: str
    first_training_session: date
    last_training_session: date
    expiry_sessions: int = Field(ge=1)
    ic: InformationCoefficient
    calibration: dict[str, JsonValue] | None = None
    blend_weight: float = Field(gt=0)
    graph: Graph
    golden_tolerance_sd: float = Field(gt=0)
    trainer: Trainer
    risk_config_sha256: str | None = None
    keyset_version: int = Field(ge=1)
    min_appliance_version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    files: tuple[BundleFile, ...]

    @model_validator(mode="after")
    def _tells_the_truth_about_itself(self) -> BundleManifest:
        if self.created.utcoffset() is None:
            raise ValueError("created has no UTC offset")
        if self.last_training_session < self.first_training_session:
            raise ValueError("training ends before it begins")
        rows = [(f.name, f.units, f.lookback_sessions) for f in self.features]
        if self.spec_hash != spec_hash(rows):
            raise ValueError("spec_hash is not the hash of the listed features")
        return self

    @model_validator(mode="after")
    def _lists_each_part(self) -> BundleManifest:
        if len({file.path for file in self.files}) != len(self.files):
            raise ValueError("a file is listed twice")
        for part in Part:
            count = sum(file.part is part for file in self.files)
            if count < 1 or (count > 1 and part is not Part.MODEL):
                raise ValueError(f"{count} files are the {part}")
        return self

    @model_validator(mode="after")
    def _earns_its_role(self) -> BundleManifest:
        if (self.promotion is not None) != (self.role is Role.CHAMPION):
            raise ValueError("a champion, and only a champion, carries a promotion record")
        if self.promotion and sorted(self.promotion.model_sha256) != sorted(f.sha256 for f in self.of(Part.MODEL)):
            raise ValueError("the promotion record is that of another model")
        judged = self.promotion and self.promotion.record.get("evidence_sha256")
        if judged and [judged] != [f.sha256 for f in self.of(Part.EVIDENCE)]:
            raise ValueError("the promotion record was given on other evidence")
        if bool(self.refusal) != (self.role is Role.EVALUATION):
            raise ValueError("an evaluation, and only an evaluation, carries its refusal")
        return self

    @model_validator(mode="after")
    def _bears_its_own_id(self) -> BundleManifest:
        if self.bundle_id != derived_id(self):
            raise ValueError("bundle_id is not derived from this content")
        return self

    def of(self, part: Part) -> tuple[BundleFile, ...]:
        """Files that are `part`, in the manifest's order."""
        return tuple(file for file in self.files if file.part is part)

    @property
    def feature_spec(self) -> tuple[tuple[str, str, int], ...]:
        """Ordered (name, units, look-back in sessions), comparable with a sleeve's `spec`."""
        return tuple((f.name, f.units, f.lookback_sessions) for f in self.features)

    @property
    def lineage(self) -> str:
        """What stays the same while a model is only retrained: sleeve, role and training configuration."""
        return f"{self.sleeve} {self.role.value} {self.trainer.config_sha256[:12]}"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Feature names in the model's order."""
        return tuple(f.name for f in self.features)


def derived_id(manifest: BundleManifest) -> str:
    """First 16 hex digits of the SHA-256 over the canonical manifest without `bundle_id` and `created`."""
    content = manifest.model_dump(mode="json", exclude={"bundle_id", "created"})
    return sha256_of(canonical_json(content))[:16]


def identified(**fields: object) -> BundleManifest:
    """Build a manifest from every field but `bundle_id`, which is derived; raise `pydantic.ValidationError`."""
    draft = BundleManifest.model_construct(bundle_id="", **fields)  # type: ignore[arg-type]  # checked on the next line
    return BundleManifest(bundle_id=derived_id(draft), **fields)  # type: ignore[arg-type]  # strict types, checked at run time
