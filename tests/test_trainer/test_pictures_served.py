"""Served pictures and analogs: what a net sees and remembers is what its bundle says, and a new bundle answers when it is there."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signals.bundle import verify
from signals.bundle.calibration import TemperatureMap
from signals.bundle.manifest import FEATURES
from signals.errors import ScoresInvalid
from signals.events.analogs import AnalogBank, code_of, nearest, read_bank, stored
from signals.events.detectors import detect
from signals.events.outcomes import outcomes
from signals.events.panel import EventBars
from signals.events.recorded import OutcomeRules
from signals.models.inference import infer
from signals.serving import pictures
from signals.serving.scores import ServedModel, operations
from signals.sleeves.patterns import PATTERNS, pictured
from signals.views.sample_views import BarImageView
from tests.fakes.bars import synthetic_bars
from tests.fakes.bundles import Recipe, keyset, policy, weekdays
from tests.fakes.picture_nets import HEAD, LENGTH, MAP, ROWS, arrays, recipe
from tests.fakes.serving import KEY, api, ask
from trainer.runs.picture_bank import LEAST_RECALL, bank_of, indexed, seen_events
from trainer.samples.samples import Gathered
from trainer.tasks.bar_pattern.labels import CLASSES
from trainer.tasks.bar_pattern.task import OF_CLASSES

JSON = {**KEY, "content-type": "application/json"}
DAYS = np.array(weekdays().days, dtype="datetime64[D]")


class Folder:
    """The bundle of a folder."""

    def __init__(self, folder: Path, made: Recipe) -> None:
        self.folder = folder
        made.write(folder)

    def identity(self) -> str:
        return (self.folder / "manifest.sig").read_text()

    def load(self) -> ServedModel:
        trusted = policy(sleeves={"equities_xs": Recipe().spec, PATTERNS.name: PATTERNS.spec})
        return ServedModel(verify(self.folder, keyset(), trusted, reproduce=infer), weekdays())


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "infer_in_child", infer)


def post(served: Any, path: str, body: object) -> Any:
    return ask(served, f"/v1/{path}", method="POST", headers=JSON, body=json.dumps(body).encode())


@pytest.mark.usefixtures("here")
def test_a_picture_is_classified_by_the_bundle_s_own_map_and_every_head_is_said(tmp_path: Path) -> None:
    source = Folder(tmp_path / "b", recipe())
    served = api(*operations(source))
    shown = np.random.default_rng(9).integers(0, 256, (3, 64, 64)).astype(np.uint8)
    body = {"image": base64.b64encode(shown.tobytes()).decode()}
    found = post(served, "classify", body).json()
    raw = infer(source.load().bundle.members, {FEATURES: shown[None] / np.float32(255)})
    logits = MAP.logits(raw["score"])[0]
    expected = np.exp(logits) / np.exp(logits).sum()
    assert found["class"] == CLASSES[int(expected.argmax())] and found["quality"] == pytest.approx(expected.max())
    assert list(found["probabilities"]) == list(CLASSES) and found["embedding"] == pytest.approx(raw["embedding"][0].tolist())
    assert (found["pole_katr"] is None) == (found["class"] != "flag")
    every = post(served, "evaluate", body).json()
    assert every["heads"]["pole"] == pytest.approx(raw["pole"][0].tolist()) and set(every["probabilities"]) == {"score"}
    (one,) = ask(served, "/v1/models").json()["models"]
    assert one["sleeve"] == "patterns" and one["bundle"] == found["bundle"]


def test_analogs_are_those_of_the_bank_and_of_a_new_bundle_once_it_is_there(tmp_path: Path) -> None:
    source = Folder(tmp_path / "b", recipe())
    served, bank = api(*operations(source)), read_bank(arrays(), DAYS)
    vector = np.random.default_rng(1).normal(size=LENGTH).astype(np.float32)
    found: Any = None
    for more, row, column in (({}, len(DAYS), -1), ({"asof": str(DAYS[150]), "symbol": "S3"}, 150, code_of("S3"))):
        found = post(served, "nearest", {"embedding": vector.tolist(), "k": 10, **more}).json()
        expected = nearest(bank, vector, row=row, column=column, k=10)
        assert [one["id"] for one in found["analogs"]] == expected.place.tolist() and len(expected.place) == 10
        assert (found["sim_conf"], found["hist_rr_pct"]) == pytest.approx((expected.sim_conf, expected.hist_rr_pct))
        assert found["search"] == "exact" and found["bank"] == ROWS
    nothing = post(served, "nearest", {"embedding": vector.tolist(), "asof": str(DAYS[0])}).json()
    assert (nothing["analogs"], nothing["sim_conf"], nothing["hist_rr_pct"]) == ([], None, None)
    recipe(2, seed=6).write(source.folder)
    renewed = post(served, "nearest", {"embedding": vector.tolist(), "k": 10}).json()
    assert renewed["bundle"] != found["bundle"]
    others = nearest(read_bank(arrays(6), DAYS), vector, row=len(DAYS), column=-1, k=10)
    assert [one["id"] for one in renewed["analogs"]] == others.place.tolist()


@pytest.mark.usefixtures("here")
def test_what_is_no_picture_no_question_and_no_row_is_refused_in_a_sentence(tmp_path: Path) -> None:
    of_pictures, of_rows = (api(*operations(Folder(tmp_path / name, made))) for name, made in (("p", recipe()), ("r", Recipe())))
    good = [1.0] * LENGTH
    wrong = (
        (of_pictures, "classify", {"image": "AAAA"}, "no picture"),
        (of_pictures, "classify", {"image": 3}, "no picture"),
        (of_pictures, "classify", {}, "does not hold image alone"),
        (of_rows, "classify", {"image": "AAAA"}, "sees no pictures"),
        (of_pictures, "evaluate", {"features": {}}, "reads no single row"),
        (of_rows, "evaluate", {"features": {"x": 1}}, "'mom_5' is missing"),
        (of_rows, "evaluate", {"features": [1]}, "no object"),
        (of_rows, "evaluate", {"features": {name: 1e39 for name, _, _ in Recipe().spec}}, "too large"),
        (of_rows, "nearest", {"embedding": good}, "carries no bank"),
        (of_pictures, "nearest", {"embedding": [0.0] * LENGTH}, "not all zero"),
        (of_pictures, "nearest", {"embedding": [1e-50] * LENGTH}, "not all zero"),
        (of_pictures, "nearest", {"embedding": good[1:]}, "8 finite numbers"),
        (of_pictures, "nearest", {"embedding": good, "k": 0}, "no whole number"),
        (of_pictures, "nearest", {"embedding": good, "asof": "2023-01-01"}, "not a session"),
        (of_pictures, "nearest", {"embedding": good, "symbol": ""}, "no symbol"),
        (of_pictures, "nearest", {"embedding": good, "more": 1}, "no question"),
    )
    for served, path, body, what in wrong:
        answer = post(served, path, body)
        assert answer.status_code == 422 and what in answer.json()["what"], (path, body, answer.text)
    row = post(of_rows, "evaluate", {"features": {name: (None if n == 0 else 0.5) for n, (name, _, _) in enumerate(Recipe().spec)}})
    assert row.status_code == 200 and len(row.json()["heads"]["score"]) == 1


def test_a_stored_bank_is_the_bank_and_days_before_the_calendar_come_before_it() -> None:
    made = arrays()
    late, whole = read_bank(made, DAYS[100:]), read_bank(made, DAYS)
    early = whole.row < 100
    assert early.any() and (late.row[early] < 0).all() and (late.known_at > late.row).all() and (np.diff(late.row) >= 0).all()
    np.testing.assert_array_equal(late.row[~early], whole.row[~early] - 100)
    assert len(stored(np.zeros((2, 3)), np.ones(2), np.ones(2), ["A", "B"], DAYS[:2], DAYS[1:3])["vectors"]) == 0
    with pytest.raises(ScoresInvalid, match="bank holds vectors, not"):
        read_bank({"vectors": made["vectors"]}, DAYS)


class Constant:
    """A net that sees nothing in every picture, and whose embedding is the mean of some bars."""

    head = HEAD

    def outputs(self, features: Any) -> Any:
        said = np.tile([4.0, 0.0, 0.0, 0.0, 0.0, 0.0], (len(features), 1))
        return np.concatenate([said, 1.0 + features.mean(axis=(1, 3))[:, :LENGTH]], axis=1)


def test_the_bank_of_a_training_holds_every_event_whose_trade_is_over_with_what_it_realised() -> None:
    bars = synthetic_bars(11, sessions=300, symbols=12, missing=0.0)
    known = TemperatureMap(temperature=1.0, shift=(0.0,) * 5)
    panel, view = PATTERNS.panel(bars), BarImageView()
    seen = seen_events(bars, lambda t, c: Constant().outputs(Gathered(panel, view, t, c)[:]), OF_CLASSES, known)
    bank = read_bank(bank_of(seen, bars, ()), bars.sessions)
    table = detect(EventBars.of(bars)).table(pictured(bars))
    made = outcomes(EventBars.of(bars), table, OutcomeRules())
    over = made.t1 >= 0
    np.testing.assert_array_equal(bank.row, table.row[over])
    np.testing.assert_array_equal(bank.known_at, made.t1[over])
    np.testing.assert_allclose(bank.realised_r, made.realised_r[over], rtol=1e-6)
    assert bank.column.tolist() == [code_of(bars.symbols[c]) for c in table.column[over]] and len(bank.row) > 30
    assert bank.quality == pytest.approx(np.exp(4.0) / (np.exp(4.0) + 4.0))


def bank(vectors: np.ndarray) -> AnalogBank:
    row = np.arange(len(vectors))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    return AnalogBank(unit, np.ones(len(row)), np.random.default_rng(7).normal(size=len(row)), row, row % 11, row + 5)


def test_an_index_of_neighbours_says_its_recall_and_gives_way_to_the_exact_search() -> None:
    """It gives way where too few of what it finds was known then, and everywhere where its recall does not suffice."""
    pytest.importorskip("usearch", reason="usearch is not installed: the index of neighbours was NOT tested")
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(20, 16))[rng.integers(0, 20, 3000)] + 0.3 * rng.normal(size=(3000, 16))
    whole = bank(vectors)
    search, plain = indexed(whole), pictures.exact(whole)
    assert search.says.startswith("HNSW (M 16, ef 200/64), recall@10 ") and float(search.says.rsplit(" ", 1)[1]) >= LEAST_RECALL
    asked = vectors[7].astype(np.float32)
    found, true = (one.find(asked, row=4000, column=3, k=20) for one in (search, plain))
    assert len(set(found.place.tolist()) & set(true.place.tolist())) >= 18
    few = search.find(asked, row=40, column=3, k=20)
    assert few.place.tolist() == plain.find(asked, row=40, column=3, k=20).place.tolist() and few.place.max() < 40
    assert indexed(whole, least=1.1).says.startswith("exact (HNSW")
