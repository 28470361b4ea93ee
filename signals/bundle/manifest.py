"""The bundle manifest: sleeve, role, view, heads, members, files with hashes, evidence, validity and sequence number.

Invariants, held at construction
--------------------------------
1. `bundle_id` is derived from the content: everything but itself and `created`.
2. A champion carries the promotion record of exactly its model files, given on its evidence; an evaluation carries
   its refusal.
3. Paths are plain file names, each listed once; every needed part is there exactly once, models at least once.
4. `spec_hash` is the hash of the ordered features that the manifest itself lists.
5. Every model file is one member, of the profile of the view; every head is given by a member; the first one ranks.
6. A file of arrays is as large as its arrays, and the golden vectors have the shapes of the view, inputs and heads.

Readers call `read_bundle_manifest`, which turns a manifest of the format before into the value of this one.
"""

import re
from datetime import date, datetime
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from signals.bundle.arrays import NAME, ArrayLine
from signals.bundle.calibration import AppliedCalibration
from signals.bundle.profiles import ProfileName, profile_of
from signals.bundle.seal import Document, canonical_json
from signals.errors import InvariantBroken
from signals.features.panel import spec_hash
from signals.files import sha256_of
from signals.models.heads import Head, PatternHead, ScoreHead, VectorHead
from signals.views import TableView, View

FORMAT = "trademl-bundle/2"
MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.sig"
MAX_MANIFEST_BYTES = 1024 * 1024
DEFAULT_EXPIRY_SESSIONS = 70
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
HEX_64 = r"^[0-9a-f]{64}$"
FEATURES, SCORE, VECTORS = "features", "score", "vectors"
MAX_MEMBERS, MAX_HEADS, MAX_INPUTS, MAX_STATE = 32, 16, 4, 256
MAX_GOLDEN_ROWS = 1_024
MAX_PARAMETER_BYTES = 1024 * 1024
MAX_BANK_BYTES, MAX_BANK_ROWS = 48 * 1024 * 1024, 250_000


class Role(StrEnum):
    """Permitted use of a bundle."""

    CHAMPION = "champion"
    SHADOW = "shadow"
    EVALUATION = "evaluation"


class Part(StrEnum):
    """Kind of a file of the bundle."""

    MODEL = "model"
    GOLDEN = "golden"
    DRIFT = "drift"
    EVIDENCE = "evidence"
    TRAINING = "training"
    PARAMETERS = "parameters"
    BANK = "bank"


OF_ARRAYS = frozenset({Part.GOLDEN, Part.PARAMETERS, Part.BANK})
OPTIONAL = frozenset({Part.PARAMETERS, Part.BANK})


class FormerFile(Document):
    """One file: its plain name, what it is, its size in bytes and its SHA-256."""

    path: str
    part: Part = Field(strict=False)
    size: int = Field(ge=1)
    sha256: str = Field(pattern=HEX_64)

    @model_validator(mode="after")
    def _path_is_plain(self) -> Self:
        if not PLAIN_NAME.fullmatch(self.path) or self.path in (MANIFEST_NAME, SIGNATURE_NAME):
            raise ValueError(f"{self.path!r} is not a plain file name inside the bundle")
        return self


class BundleFile(FormerFile):
    """One file, with the arrays that it holds where it is one of arrays."""

    arrays: tuple[ArrayLine, ...] = ()

    @model_validator(mode="after")
    def _holds_its_arrays(self) -> Self:
        if bool(self.arrays) != (self.part in OF_ARRAYS):
            raise ValueError(f"{self.path} is the {self.part} and lists {len(self.arrays)} arrays")
        if len({line.name for line in self.arrays}) != len(self.arrays):
            raise ValueError(f"{self.path} names an array twice")
        if self.arrays and sum(line.nbytes for line in self.arrays) != self.size:
            raise ValueError(f"{self.path} has {self.size} bytes, its arrays {sum(line.nbytes for line in self.arrays)}")
        return self


class FeatureLine(Document):
    """One feature as the model receives it."""

    name: str
    units: str
    lookback_sessions: int = Field(ge=1)
    dtype: Literal["float32"] = "float32"


class InputLine(Document):
    """An input that is not one of features, such as a policy's state: its name and the names of its numbers."""

    name: str = Field(pattern=NAME)
    values: tuple[str, ...] = Field(min_length=1, max_length=MAX_STATE)


class HeadLine(Document):
    """One head under the name of the graphs' output, and the map of its probabilities."""

    name: str = Field(pattern=NAME)
    head: Head
    calibration: AppliedCalibration | None = None

    @model_validator(mode="after")
    def _map_fits(self) -> Self:
        if isinstance(self.head, PatternHead):
            raise ValueError("the heads of a picture are listed one by one")
        if self.calibration is not None:
            self.calibration.require_fits(self.head)
        return self


class MemberLine(Document):
    """One model file: the operators that it may use, the heads that it gives, and its weight in their means."""

    path: str
    profile: ProfileName = Field(strict=False)
    heads: tuple[str, ...] = Field(min_length=1, max_length=MAX_HEADS)
    weight: float = Field(default=1.0, gt=0, le=1e6)


class ModelForm(Document):
    """Inputs and outputs of a bundle's models: a table and one score by default.

    Attributes
    ----------
    view : View
        How the features of a sample look.
    inputs : tuple of InputLine
        What the models read beyond features.
    heads : tuple of HeadLine
        What they give; the first one ranks.
    bank_head : str or None
        The head whose vectors the bank holds, where there is one.
    """

    view: View = Field(default_factory=TableView)
    inputs: tuple[InputLine, ...] = Field(default=(), max_length=MAX_INPUTS)
    heads: tuple[HeadLine, ...] = Field(
        default_factory=lambda: (HeadLine(name=SCORE, head=ScoreHead()),), min_length=1, max_length=MAX_HEADS
    )
    members: tuple[MemberLine, ...] = Field(
        default_factory=lambda: (MemberLine(path="model.onnx", profile=ProfileName.TABLE_1, heads=(SCORE,)),),
        min_length=1,
        max_length=MAX_MEMBERS,
    )
    bank_head: str | None = None


class InformationCoefficient(Document):
    """Walk-forward rank IC of the model: mean per session, t and standard error under overlapping labels."""

    mean: float
    t: float
    standard_error: float = Field(ge=0)


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


class Signed(Document):
    """Fields and rules that every format of the manifest shares."""

    bundle_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    seq: int = Field(ge=1)
    created: datetime
    role: Role = Field(strict=False)
    refusal: str | None = None
    promotion: Promotion | None = None
    sleeve: str
    features: tuple[FeatureLine, ...]
    spec_hash: str = Field(pattern=HEX_64)
    horizon_sessions: int = Field(ge=1)
    entry: Literal["opg", "cls", "day"]
    calendar: str
    first_training_session: date
    last_training_session: date
    expiry_sessions: int = Field(ge=1)
    ic: InformationCoefficient
    golden_tolerance_sd: float = Field(gt=0)
    trainer: Trainer
    keyset_version: int = Field(ge=1)
    min_appliance_version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    files: tuple[FormerFile, ...]

    @model_validator(mode="after")
    def _tells_the_truth_about_itself(self) -> Self:
        if self.created.utcoffset() is None:
            raise ValueError("created has no UTC offset")
        if self.last_training_session < self.first_training_session:
            raise ValueError("training ends before it begins")
        if self.spec_hash != spec_hash(list(self.feature_spec)):
            raise ValueError("spec_hash is not the hash of the listed features")
        return self

    @model_validator(mode="after")
    def _lists_each_part(self) -> Self:
        if len({file.path for file in self.files}) != len(self.files):
            raise ValueError("a file is listed twice")
        for part in Part:
            count = len(self.of(part))
            if (count < 1 and part not in OPTIONAL) or (count > 1 and part is not Part.MODEL):
                raise ValueError(f"{count} files are the {part}")
        return self

    @model_validator(mode="after")
    def _earns_its_role(self) -> Self:
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
    def _bears_its_own_id(self) -> Self:
        if self.bundle_id != derived_id(self):
            raise ValueError("bundle_id is not derived from this content")
        return self

    def of(self, part: Part) -> tuple[FormerFile, ...]:
        """Files that are `part`, in the manifest's order."""
        return tuple(file for file in self.files if file.part is part)

    @property
    def feature_spec(self) -> tuple[tuple[str, str, int], ...]:
        """Ordered (name, units, look-back in sessions), comparable with a sleeve's `spec`."""
        return tuple((f.name, f.units, f.lookback_sessions) for f in self.features)

    @property
    def lineage(self) -> str:
        """Identity of a model across retrainings: sleeve, role and training configuration."""
        return f"{self.sleeve} {self.role.value} {self.trainer.config_sha256[:12]}"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Feature names in the model's order."""
        return tuple(f.name for f in self.features)


class BundleManifest(ModelForm, Signed):
    """The content of `manifest.json`; `docs/bundle.md` describes every key."""

    format: Literal["trademl-bundle/2"] = "trademl-bundle/2"
    files: tuple[BundleFile, ...]
    analogs_sha256: str | None = Field(default=None, pattern=HEX_64, exclude_if=lambda value: value is None)  # ids of before are kept

    @model_validator(mode="after")
    def _names_each_number_once(self) -> Self:
        names = [FEATURES, *(line.name for line in self.inputs), *(line.name for line in self.heads)]
        if len(set(names)) != len(names):
            raise ValueError("two inputs or heads have the same name")
        if not self.features and not self.inputs:
            raise ValueError("the models read nothing")
        if isinstance(self.heads[0].head, VectorHead):
            raise ValueError(f"the first head, {self.heads[0].name!r}, ranks nothing")
        self.input_shapes()
        return self

    @model_validator(mode="after")
    def _members_are_its_models(self) -> Self:
        if sorted(member.path for member in self.members) != sorted(file.path for file in self.of(Part.MODEL)):
            raise ValueError("the members are not the model files")
        widths, given = self.head_widths(), set[str]()
        for member in self.members:
            if member.profile is not profile_of(self.view):
                raise ValueError(f"{member.path} claims the profile {member.profile}; a {self.view.kind} has {profile_of(self.view)}")
            if not set(member.heads) <= set(widths) or len(set(member.heads)) != len(member.heads):
                raise ValueError(f"{member.path} gives heads that the manifest does not list, or one twice")
            given |= set(member.heads)
        if missing := [name for name in widths if name not in given]:
            raise ValueError(f"no member gives the head {missing[0]!r}")
        return self

    @model_validator(mode="after")
    def _golden_has_the_shapes(self) -> Self:
        lines = self.of(Part.GOLDEN)[0].arrays
        rows = lines[0].shape[0]
        if not 2 <= rows <= MAX_GOLDEN_ROWS:
            raise ValueError(f"{rows} golden vectors, not 2 to {MAX_GOLDEN_ROWS}")
        wanted = [("float32", name, shape) for name, shape in self.input_shapes().items()]
        wanted += [("float64", name, (width,)) for name, width in self.head_widths().items()]
        found = [(line.dtype, line.name, line.shape[1:]) for line in lines]
        if found != wanted or {line.shape[0] for line in lines} != {rows}:
            raise ValueError("the golden vectors have other names, types or shapes than the inputs and heads")
        return self

    @model_validator(mode="after")
    def _bounds_what_it_carries(self) -> Self:
        for file in self.of(Part.PARAMETERS):
            if file.size > MAX_PARAMETER_BYTES or any(line.dtype != "float64" for line in file.arrays):
                raise ValueError(f"{file.path} is more than {MAX_PARAMETER_BYTES} bytes, or not of float64")
        banks = self.of(Part.BANK)
        if bool(banks) != (self.bank_head is not None):
            raise ValueError("a bank, and only a bank, names the head of its vectors")
        for file in banks:
            head = next((line.head for line in self.heads if line.name == self.bank_head), None)
            vectors, *outcomes = file.arrays
            rows = vectors.shape[0]
            if not isinstance(head, VectorHead) or (vectors.name, vectors.dtype) != (VECTORS, "float16"):
                raise ValueError(f"{file.path} holds no float16 vectors of a head that gives vectors")
            if vectors.shape != (rows, head.length) or not outcomes:
                raise ValueError(f"{file.path} holds vectors of shape {vectors.shape} and {len(outcomes)} outcomes")
            if any(line.dtype != "float32" or line.shape != (rows,) for line in outcomes):
                raise ValueError(f"{file.path} holds outcomes that are not one float32 a vector")
            if file.size > MAX_BANK_BYTES or rows > MAX_BANK_ROWS:
                raise ValueError(f"{file.path} holds {rows} vectors in {file.size} bytes, more than {MAX_BANK_ROWS} or {MAX_BANK_BYTES}")
        return self

    def of(self, part: Part) -> tuple[BundleFile, ...]:
        """Files that are `part`, in the manifest's order."""
        return tuple(file for file in self.files if file.part is part)

    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one row of each input; raise `ValueError` where the features do not fill the view."""
        try:
            seen = {FEATURES: self.view.shape(len(self.features))} if self.features else {}
        except InvariantBroken as error:
            raise ValueError(error.what) from None
        return seen | {line.name: (len(line.values),) for line in self.inputs}

    def head_widths(self) -> dict[str, int]:
        """Outputs of each head."""
        return {line.name: line.head.width for line in self.heads}


def derived_id(manifest: Signed) -> str:
    """First 16 hex digits of the SHA-256 over the canonical manifest without `bundle_id` and `created`."""
    content = manifest.model_dump(mode="json", exclude={"bundle_id", "created"})
    return sha256_of(canonical_json(content))[:16]


def identified(**fields: object) -> BundleManifest:
    """Build a manifest from every field but `bundle_id`, which is derived; raise `pydantic.ValidationError`."""
    draft = BundleManifest.model_construct(bundle_id="", **fields)  # type: ignore[arg-type]  # checked on the next line
    return BundleManifest(bundle_id=derived_id(draft), **fields)  # type: ignore[arg-type]  # strict types, checked at run time
