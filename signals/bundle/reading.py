"""Reads a manifest of any format that this version knows into the one value that the program uses.

Format 1 carried one table of features and one score, several graphs averaged evenly. It is read for one version: its
own rules are checked, and it becomes a value of format 2 here and nowhere else.
"""

from typing import Literal

from pydantic import Field, JsonValue

from signals.bundle.calibration import AppliedCalibration, PlattMap
from signals.bundle.manifest import FORMAT, SCORE, BundleFile, BundleManifest, HeadLine, MemberLine, Part, Signed
from signals.bundle.profiles import ProfileName
from signals.bundle.seal import Document, parse, parse_json
from signals.errors import BundleRefused
from signals.models.heads import ScoreHead
from signals.text.plain_text import clean
from signals.views import TableView

FORMER_FORMAT = "trademl-bundle/1"


class FormerPlatt(Document):
    """The sigmoid of format 1."""

    slope: float
    intercept: float


class FormerCalibration(Document):
    """The maps of format 1, of which no device applied any."""

    event: str
    platt: FormerPlatt
    isotonic: dict[str, JsonValue]
    temperature: float | None


class FormerManifest(Signed):
    """The content of `manifest.json` in format 1."""

    format: Literal["trademl-bundle/1"]
    calibration: FormerCalibration | None = None
    blend_weight: float = Field(gt=0)
    graph: dict[str, JsonValue]
    risk_config_sha256: str | None = None


def read_bundle_manifest(content: bytes, where: str) -> BundleManifest:
    """Read the bytes of a manifest.

    Raises
    ------
    BundleRefused
        They are no manifest, or one of a format that this version does not know.
    """
    document = parse_json(content, where)
    named = document.get("format") if isinstance(document, dict) else None
    if named == FORMER_FORMAT:
        return _in_format_2(parse(content, FormerManifest, where))
    if isinstance(named, str) and named != FORMAT:
        needed = document.get("min_appliance_version")
        raise BundleRefused(
            f"its format is {clean(named)[:40]!r}, which this version does not read; it needs appliance {clean(needed)[:40]}",
            where=where,
            fix="Update the device",
        )
    return parse(content, BundleManifest, where)


def _in_format_2(former: FormerManifest) -> BundleManifest:
    """Return the same bundle as a table of features with one score, its graphs averaged evenly."""
    known = former.calibration
    platt = None if known is None else PlattMap(slope=known.platt.slope, intercept=known.platt.intercept)
    calibration = None if known is None or platt is None else AppliedCalibration(event=known.event, map=platt)
    shared = {name: getattr(former, name) for name in Signed.model_fields if name != "files"}
    return BundleManifest.model_construct(
        **shared,
        format=former.format,  # type: ignore[arg-type]  # what it was; its id is derived from that
        view=TableView(),
        heads=(HeadLine(name=SCORE, head=ScoreHead(), calibration=calibration),),
        members=tuple(MemberLine(path=file.path, profile=ProfileName.TABLE_1, heads=(SCORE,)) for file in former.of(Part.MODEL)),
        files=tuple(BundleFile.model_construct(**file.model_dump()) for file in former.files),
    )
