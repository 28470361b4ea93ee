"""Served operations of a picture model: classify and evaluate posted pictures or rows, and find the analogs of an embedding."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from signals.bundle.calibration import probabilities
from signals.bundle.child_inference import infer_in_child
from signals.bundle.manifest import FEATURES
from signals.errors import FixInput
from signals.events.analogs import AnalogBank, Analogs, classes_in, code_of, nearest, read_bank
from signals.events.recorded import SIZE, shape_of
from signals.market.bars import days_array
from signals.serving.operations import Call, Operation, Schema
from signals.serving.posted_rows import read_day, read_numbers, read_symbol
from signals.text import strict_json
from signals.text.wording import clean

if TYPE_CHECKING:  # it imports this module
    from signals.serving.scores import ServedModel

MOST_ANALOGS, USUAL_ANALOGS = 500, 50
MOST, LEAST = 1e30, 1e-15  # the latter of an embedding's largest number: the square of a smaller one is 0 in float32


def _answer(**properties: Schema) -> Schema:
    """An object that has all of these; a later release may add others."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _question(**properties: Schema) -> Schema:
    """An object that has all of these and nothing else."""
    return {**_answer(**properties), "additionalProperties": False}


TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
MAYBE: Schema = {"type": ["number", "null"]}
NUMBERS: Schema = {"type": "array", "items": NUMBER}
BY_NAME: Schema = {"type": "object", "additionalProperties": NUMBER}
BY_HEAD: Schema = {"type": "object", "additionalProperties": NUMBERS}
OBJECTS: Schema = {"type": "array", "items": {"type": "object"}}
PICTURE = _question(image={**TEXT, "contentEncoding": "base64", "description": "bar-image/1: 3 x 64 x 64 bytes, channel, bar, level."})
CLASSIFIED = _answer(**{"class": TEXT}, quality=NUMBER, probabilities=BY_NAME, pole_katr=MAYBE, embedding=NUMBERS, bundle=TEXT)
QUESTION: dict[str, Schema] = {
    "embedding": {**NUMBERS, "minItems": 1, "maxItems": 1024},
    "k": {"type": "integer", "minimum": 1, "maximum": MOST_ANALOGS, "default": USUAL_ANALOGS},
    "asof": {**TEXT, "format": "date", "description": "Session of the event that asks; by default after all of the bank."},
    "symbol": {**TEXT, "minLength": 1, "maxLength": 40, "description": "Of the event that asks."},
}
ASKED: Schema = {**_question(**QUESTION), "required": ["embedding"]}
NEAREST = _answer(sim_conf=MAYBE, hist_rr_pct=MAYBE, analogs=OBJECTS, bank={"type": "integer"}, search=TEXT, bundle=TEXT)
EVALUATED = _answer(heads=BY_HEAD, probabilities=BY_HEAD, bundle=TEXT)
ROW = _question(features={"type": "object", "additionalProperties": MAYBE})


@dataclass(frozen=True)
class BankSearch:
    """A bank that can be asked: how, in words, and the function (embedding, row, column, k) that finds its nearest rows."""

    bank: AnalogBank
    says: str
    find: Callable[..., Analogs]


def exact(bank: AnalogBank) -> BankSearch:
    """Return the exact search."""
    return BankSearch(bank, "exact", partial(nearest, bank))


def operations(
    get: Callable[[], ServedModel], describe: Callable[[ServedModel], object], search: Callable[[AnalogBank], BankSearch] | None = None
) -> tuple[Operation, ...]:
    """Return the operations on the bundle that `get` gives; `search` makes a bank ready, exactly by default."""
    banks: dict[str, BankSearch] = {}

    def remembered(model: ServedModel, asked: object) -> object:
        if model.bundle.sha256 not in banks:
            banks.clear()
            banks[model.bundle.sha256] = (search or exact)(read_bank(model.bundle.bank, days_array(model.calendar.days)))
        return analogs_of(model, banks[model.bundle.sha256], asked)

    def posted(name: str, says: str, answer: Schema, asked: Schema, run: Callable[[ServedModel, object], object]) -> Operation:
        def answered(call: Call) -> object:
            return run(get(), strict_json.loads(call.body, decimals=float))

        return Operation(name, "POST", f"/v1/{name}", says, answer, answered, body=asked, lane="model")

    listed = _answer(models=OBJECTS)
    return (
        Operation("models", "GET", "/v1/models", "The bundles that answer.", listed, lambda _: {"models": [describe(get())]}, lane="model"),
        posted("classify", "What a net of pictures sees: class, quality, pole, embedding.", CLASSIFIED, PICTURE, classified),
        posted("nearest", "Past events like an embedding.", NEAREST, ASKED, remembered),
        posted("evaluate", "Every head of a picture or a row.", EVALUATED, {"oneOf": [PICTURE, ROW]}, evaluated),
    )


def classified(model: ServedModel, asked: object) -> dict[str, object]:
    """Return what the bundle sees in a picture; raise `FixInput` where it sees none, or that is none."""
    image = _only(asked, "image")
    head = classes_in({line.name: line.head for line in model.bundle.manifest.heads})
    if head is None:
        raise FixInput("this bundle sees no pictures", where=model.bundle.manifest.sleeve, fix="Serve a bundle of the sleeve patterns")
    raw, said = _run(model, _picture(model, image))
    classes, shares = head.names, said["score"]
    seen = shape_of(classes, shares, raw["pole"][0])
    return {
        "class": seen.shape,
        "quality": seen.quality,
        "probabilities": dict(zip(classes, shares, strict=True)),
        "pole_katr": seen.pole_katr,
        "embedding": raw["embedding"],
        "bundle": model.bundle.sha256,
    }


def evaluated(model: ServedModel, asked: object) -> dict[str, object]:
    """Return every head's outputs, and the probabilities of those that have any, of one picture or row."""
    has_row = isinstance(asked, dict) and "features" in asked
    raw, said = _run(model, _row(model, asked) if has_row else _picture(model, _only(asked, "image")))
    return {"heads": raw, "probabilities": said, "bundle": model.bundle.sha256}


def analogs_of(model: ServedModel, search: BankSearch, asked: object) -> dict[str, object]:
    """Return the analogs that a question asks for."""
    if not isinstance(asked, dict) or not set(asked) <= set(QUESTION):
        raise FixInput("the body is no question for analogs", fix='Send {"embedding": [...], "k": 50}')
    vector, k = _numbers(asked.get("embedding"), search.bank.vectors.shape[1]), asked.get("k", USUAL_ANALOGS)
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= MOST_ANALOGS:
        raise FixInput("k is no whole number in its range", where="k", fix=f"Give 1 to {MOST_ANALOGS}")
    days = model.calendar.days
    row = len(days) if "asof" not in asked else model.calendar.index(read_day(asked["asof"], "asof", 0))
    column = -1 if "symbol" not in asked else code_of(read_symbol(asked["symbol"], "symbol", 0))
    found, bank = search.find(np.array(vector, dtype=np.float32), row=row, column=column, k=k), search.bank
    rows = [
        {"id": place, "cosine": float(cosine), "realised_r": float(bank.realised_r[place]), "quality": float(bank.quality[place])}
        for place, cosine in zip(found.place.tolist(), found.cosine, strict=True)
    ]
    sums = {name: None if np.isnan(value := getattr(found, name)) else value for name in ("sim_conf", "hist_rr_pct")}
    return {**sums, "analogs": rows, "bank": len(bank.vectors), "search": search.says, "bundle": model.bundle.sha256}


def _run(model: ServedModel, inputs: Any) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    raw = infer_in_child(model.bundle.members, {FEATURES: inputs})
    said = {line.name: probabilities(line.head, line.calibration, raw[line.name]) for line in model.bundle.manifest.heads}
    known = {name: values[0].tolist() for name, values in said.items() if values is not None}
    return {name: values[0].tolist() for name, values in raw.items()}, known


def _picture(model: ServedModel, image: object) -> Any:
    if model.bundle.manifest.view.kind != "bar_image":
        raise FixInput("this bundle sees no pictures", where=model.bundle.manifest.sleeve, fix="Give a row of its features")
    size = 3 * SIZE * SIZE
    try:
        content = base64.b64decode(image, validate=True) if isinstance(image, str) and image.isascii() else b""
    except (binascii.Error, ValueError):
        content = b""
    if len(content) != size:
        raise FixInput("the image is no picture", where="image", fix=f"Give {size} bytes (3 x {SIZE} x {SIZE}) in base64")
    return np.frombuffer(content, dtype=np.uint8).reshape(1, 3, SIZE, SIZE) / np.float32(255)


def _row(model: ServedModel, asked: object) -> Any:
    given = _only(asked, "features")
    if model.bundle.manifest.view.kind != "table":
        raise FixInput("this bundle reads no single row", where=model.bundle.manifest.view.kind, fix="Give what its view shows")
    row = read_numbers([given], model.bundle.manifest.feature_names)
    if np.isinf(row).any():
        raise FixInput("a feature is too large", where="features", fix="Give numbers that float32 holds")
    return row


def _only(asked: object, name: str) -> object:
    if not isinstance(asked, dict) or set(asked) != {name}:
        raise FixInput(f"the body does not hold {clean(name)} alone", fix=f'Send {{"{name}": ...}}')
    return asked[name]


def _numbers(given: object, count: int) -> Sequence[float]:
    if isinstance(given, list) and len(given) == count:
        is_sound = all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < MOST for x in given)
        if is_sound and max(map(abs, given)) > LEAST:
            return [float(x) for x in given]
    raise FixInput(f"not {count} finite numbers, not all zero", where="embedding", fix="Give what a net of pictures gave")
