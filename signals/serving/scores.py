"""Outlooks of posted rows or bars: the one function behind HTTP, files and the command line.

A bundle is loaded when it is first asked, and again, verified, when its source has changed. Its models run in a limited
child process, one request at a time, so that the server itself stays small.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from signals.errors import FixInput
from signals.files import write_atomic
from signals.serving.operations import Call, Operation, Schema
from signals.text.strict_json import JsonObject

if TYPE_CHECKING:  # a server that nobody asks for scores takes none of it into its memory
    from signals.bundle import Bundle
    from signals.events.analogs import AnalogBank
    from signals.market.bars import Bars
    from signals.market.sessions import Calendar
    from signals.minutes.bars import MinuteBars
    from signals.serving.outlook import FeatureRows, Outlook
    from signals.serving.pictures import BankSearch

MODEL: Schema = {
    "type": "object",
    "required": ["bundle", "sleeve", "role", "features", "horizon_sessions", "event", "age_sessions"],
    "properties": {
        "bundle": {"type": "string"},
        "bundle_id": {"type": "string"},
        "sleeve": {"type": "string"},
        "role": {"type": "string"},
        "refusal": {"type": ["string", "null"]},
        "reads": {"type": "string"},
        "event": {"type": ["string", "null"]},
        "horizon_sessions": {"type": "integer"},
        "age_sessions": {"type": "integer"},
        "age_limit_sessions": {"type": "integer"},
        "ic": {"type": "object"},
        "features": {"type": "array", "items": {"type": "object"}},
    },
}


@dataclass(frozen=True)
class ServedModel:
    """A verified bundle, and the calendar of its sessions."""

    bundle: Bundle
    calendar: Calendar


class ModelSource(Protocol):
    """Where a bundle comes from."""

    def identity(self) -> str:
        """Return what changes when the bundle, or the keys that it is trusted by, change."""

    def load(self) -> ServedModel:
        """Verify and return the bundle."""


class CurrentModel:
    """The bundle of a source, loaded again when the source has changed."""

    def __init__(self, source: ModelSource) -> None:
        self._source = source
        self._identity = ""
        self._model: ServedModel | None = None

    def get(self) -> ServedModel:
        """Return the bundle that is in force now; raises as the source does, and keeps nothing then."""
        identity = self._source.identity()
        if self._model is None or identity != self._identity:
            self._model = None
            self._model, self._identity = self._source.load(), identity
        return self._model


def expected(model: ServedModel, asked: FeatureRows | Bars | MinuteBars, *, is_limited: bool = True) -> tuple[Outlook, ...]:
    """Return what the bundle expects of what was asked; by `is_limited`, its models run in a limited child."""
    from signals.bundle.child_inference import infer_in_child
    from signals.models.inference import infer
    from signals.serving.outlook import FeatureRows, Predictor

    predictor = Predictor(model.bundle, run=infer_in_child if is_limited else infer)
    return predictor.predict(asked) if isinstance(asked, FeatureRows) else predictor.predict_bars(asked)


def answer_bytes(found: Sequence[Outlook]) -> bytes:
    """Return the answer's JSON: canonical, so that equal outlooks are equal bytes."""
    from signals.bundle.seal import canonical_json
    from signals.serving.outlook import document

    return canonical_json({"outlooks": [document(one) for one in found]})


@dataclass(frozen=True)
class ScoredFile:
    """The answer on a file, and the Parquet file that holds it where one was named."""

    content: bytes
    to: Path | None = None

    @property
    def result(self) -> dict[str, list[JsonObject]]:
        """The answer as JSON values."""
        found: dict[str, list[JsonObject]] = json.loads(self.content)
        return found


def shown(found: ScoredFile) -> str:
    """Return the answer for a person."""
    rows = found.result["outlooks"]
    if found.to is not None:
        return f"{len(rows)} outlooks in {found.to}"
    keys = ("symbol", "asof", "signal", "confidence", "expected_return")
    return "\n".join(["  ".join(keys), *("  ".join("-" if row[key] is None else str(row[key]) for key in keys) for row in rows)])


def rows_or_bars(path: Path, model: ServedModel) -> FeatureRows | Bars:
    """Read a Parquet file of rows or daily bars."""
    from signals.serving.posted_rows import from_parquet

    return from_parquet(path, model.bundle.manifest.feature_names, model.calendar)


def score_file(
    source: ModelSource, rows: Path, to: Path | None, read: Callable[[Path, ServedModel], FeatureRows | Bars | MinuteBars] = rows_or_bars
) -> ScoredFile:
    """Return the answer on a file that `read` reads, and write it to the Parquet file `to` where one is named."""
    from signals.serving.posted_rows import to_parquet

    model = source.load()
    found = expected(model, read(rows, model), is_limited=False)
    if to is not None:
        if to.exists() and to.samefile(rows):
            raise FixInput("the answer would replace what was asked", where=str(to), fix="Name another file by --to")
        write_atomic(to, to_parquet(found))
    return ScoredFile(answer_bytes(found), to)


def operations(source: ModelSource, search: Callable[[AnalogBank], BankSearch] | None = None) -> tuple[Operation, ...]:
    """Return the operations on a bundle: what it is, what it expects, sees and remembers; `search` makes its bank ready."""
    from signals.serving import pictures
    from signals.serving.posted_rows import BODY, OUTLOOK, from_json

    model = CurrentModel(source)

    def scores(call: Call) -> bytes:
        found = model.get()
        return answer_bytes(expected(found, from_json(call.body, found.bundle.manifest.feature_names, found.calendar)))

    answer = {"type": "object", "required": ["outlooks"], "properties": {"outlooks": {"type": "array", "items": OUTLOOK}}}
    says = "The bundle that scores, and the features of its rows."
    return (
        Operation("model", "GET", "/v1/model", says, MODEL, lambda _: describe(model.get()), lane="model"),
        Operation("scores", "POST", "/v1/scores", "What the bundle expects of rows or bars.", answer, scores, body=BODY, lane="model"),
        *pictures.operations(model.get, describe, search),
    )


def describe(model: ServedModel) -> dict[str, object]:
    """Return the facts that a client needs to post rows."""
    manifest = model.bundle.manifest
    calibration = manifest.heads[0].calibration
    return {
        "bundle": model.bundle.sha256,
        "bundle_id": manifest.bundle_id,
        "sleeve": manifest.sleeve,
        "role": manifest.role.value,
        "refusal": manifest.refusal,
        "reads": manifest.view.kind,
        "event": calibration.event if calibration else None,
        "horizon_sessions": manifest.horizon_sessions,
        "age_sessions": model.bundle.age_sessions,
        "age_limit_sessions": model.bundle.age_limit_sessions,
        "ic": manifest.ic.model_dump(mode="json"),
        "features": [line.model_dump(mode="json") for line in manifest.features],
    }
