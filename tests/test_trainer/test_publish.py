"""A run becomes a bundle that a device accepts, or nothing becomes visible."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from appliance.bundles.store import BundleStore
from appliance.system.state_folder import DurableFs
from signals.bundle import PublicKey, Role
from signals.errors import BundleRefused, FixInput
from signals.features.panel import FeaturePanel
from signals.files import sha256_of
from signals.models.heads import ClassesHead, ScoreHead
from signals.models.inference import infer, predict
from signals.scoring.scoring import score
from signals.views import TableView, WindowsView
from tests.fakes.bundles import SPEC, policy, private_key, weekdays
from tests.fakes.onnx_models import last_of_windows, stump_model
from tests.fakes.publishing import CREATED, SPECS, WIDTH, features, run_folder
from trainer.learners.lgbm import LightGbm, LightGbmConfig
from trainer.publishing import keys as sign
from trainer.publishing.publish import Publication, PublishRequest, newest_seq, publish
from trainer.runs import artefacts

PLACE = "equities_xs/evaluation"


def change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    seeds = iter(range(10, 30))
    sign.create_keys(tmp_path / "keys", date(2030, 1, 2), generate=lambda: private_key(next(seeds)))
    return tmp_path / "keys"


def published(tmp_path: Path, keys: Path, run: Path, store: str = "store", **changes: object) -> Publication:
    request = PublishRequest(
        **{"run": run, "role": Role.EVALUATION, "keys": keys, "store": tmp_path / store, "created": CREATED, **changes}
    )  # type: ignore[arg-type]
    return publish(request, weekdays(), SPECS)


def device(tmp_path: Path, keys: Path) -> BundleStore:
    store = BundleStore(tmp_path / "device", DurableFs(), prove=infer)
    store.trust(PublicKey.from_text((keys / "root.pub").read_text()))
    store.install_keyset((tmp_path / "store" / "keyset.json").read_bytes())
    return store


def test_a_published_run_is_accepted_and_scored_by_a_device(tmp_path: Path, keys: Path) -> None:
    run = run_folder(tmp_path / "run")
    done = published(tmp_path, keys, run)
    latest = json.loads((tmp_path / "store" / PLACE / "latest.json").read_bytes())
    assert (
        (latest["seq"], latest["bundle_id"], latest["sha256"])
        == (done.seq, done.bundle_id, done.sha256)
        == (1, done.bundle_id, sha256_of((done.folder / "manifest.json").read_bytes()))
    )
    assert sorted(path.name for path in done.folder.iterdir()) == latest["files"]
    bundle = device(tmp_path, keys).activate(tmp_path / "store" / PLACE / latest["folder"], policy()).bundle
    assert bundle.manifest.refusal == "not promoted: no promotion has judged this run"
    scores = score(bundle, features())
    assert np.array_equal(scores.values, predict([(run / "model.onnx").read_bytes()], features().values[-1]))


def test_a_real_lightgbm_export_passes_the_device_s_checks(tmp_path: Path, keys: Path) -> None:
    rows = features(200).values.reshape(-1, WIDTH)
    target = np.where(np.isnan(rows[:, 1]), 0.1, rows[:, 0]).astype(np.float64)
    learner = LightGbm(LightGbmConfig(trees=20, min_data_in_leaf=20), seed=1, threads=1)
    model = learner.fit(rows, target, np.ones(len(rows)), tuple(name for name, _, _ in SPEC))
    done = published(tmp_path, keys, run_folder(tmp_path / "run", model.to_onnx()))
    bundle = device(tmp_path, keys).activate(done.folder, policy()).bundle
    assert np.max(np.abs(predict(bundle.models, rows) - model.predict(rows))) <= 2e-5


def test_a_run_of_windows_and_classes_is_published_with_its_parameters_and_scored_by_a_device(tmp_path: Path, keys: Path) -> None:
    """The last session's three features are the log odds of three classes; the run says so in its `model.json`."""
    head, run = ClassesHead(("down", "flat", "up")), run_folder(tmp_path / "run")
    (run / "model.onnx").write_bytes(last_of_windows(4, WIDTH))
    windows = np.random.default_rng(3).normal(size=(80, 4, WIDTH)).astype(np.float32)
    (run / "golden.npz").write_bytes(artefacts.golden(windows, last_of_windows(4, WIDTH), head))
    for name, content in artefacts.model_form(WindowsView(4), head).items():
        (run / name).write_bytes(content)
    np.savez(run / "parameters.npz", class_means=np.array([-0.01, 0.0, 0.02]))
    done = published(tmp_path, keys, run)
    bundle = device(tmp_path, keys).activate(done.folder, policy()).bundle
    assert (bundle.manifest.view, bundle.manifest.heads[0].head) == (WindowsView(4), head)
    assert bundle.parameters["class_means"].tolist() == [-0.01, 0.0, 0.02]
    newest = np.nan_to_num(features().values[-1]).astype(np.float64)
    odds = np.exp(newest)
    chosen = features()
    whole = FeaturePanel(chosen.sessions, chosen.symbols, chosen.names, np.nan_to_num(chosen.values), chosen.eligible.copy())
    assert score(bundle, whole).values == pytest.approx((odds[:, 2] - odds[:, 0]) / odds.sum(axis=1), abs=1e-6)


def test_a_table_with_one_score_needs_no_form_of_its_own() -> None:
    assert artefacts.model_form(TableView(), ScoreHead()) == {}


def test_the_manifest_is_the_same_to_the_byte_but_for_the_time(tmp_path: Path, keys: Path) -> None:
    """E9, with two stores in the same state."""
    run = run_folder(tmp_path / "run")
    first = published(tmp_path, keys, run, "a")
    same = published(tmp_path, keys, run, "b")
    later = published(tmp_path, keys, run, "c", created=CREATED.replace(hour=23))
    texts = [(done.folder / "manifest.json").read_bytes() for done in (first, same, later)]
    assert texts[0] == texts[1] != texts[2]
    documents = [json.loads(text) for text in texts]
    assert [d.pop("created") for d in documents] == ["2026-11-20T22:00:00Z"] * 2 + ["2026-11-20T23:00:00Z"]
    assert documents[0] == documents[2]


def test_sequences_increase_and_an_interrupted_publication_uses_its_number_up(tmp_path: Path, keys: Path) -> None:
    run = run_folder(tmp_path / "run")
    assert [published(tmp_path, keys, run).seq for _ in range(2)] == [1, 2]
    (tmp_path / "store" / PLACE / f"7-{'0' * 16}").mkdir()
    assert newest_seq(tmp_path / "store", "equities_xs") == 7
    assert published(tmp_path, keys, run).seq == 8


def test_a_champion_needs_the_promotion_record_of_its_own_model(tmp_path: Path, keys: Path) -> None:
    run = run_folder(tmp_path / "run")
    with pytest.raises(FixInput, match="needs a promotion record"):
        published(tmp_path, keys, run, role=Role.CHAMPION)
    record = {"verdict": "promoted", "record": {"dsr": 0.96}}
    (run / "promotion.json").write_text(json.dumps({**record, "model_sha256": ["0" * 64]}))
    with pytest.raises(FixInput, match="that of another model"):
        published(tmp_path, keys, run, role=Role.CHAMPION)
    (run / "promotion.json").write_text(json.dumps({**record, "verdict": "refused", "model_sha256": ["0" * 64]}))
    with pytest.raises(FixInput, match="verdict"):
        published(tmp_path, keys, run, role=Role.CHAMPION)
    assert not (tmp_path / "store").exists()
    own = sha256_of((run / "model.onnx").read_bytes())
    (run / "promotion.json").write_text(json.dumps({**record, "model_sha256": [own]}))
    assert published(tmp_path, keys, run, role=Role.CHAMPION).role is Role.CHAMPION


def test_a_champion_carries_the_evidence_that_its_verdict_was_given_on(tmp_path: Path, keys: Path) -> None:
    """The same model under other figures is not the champion; a device refuses such a manifest as well."""
    run = run_folder(tmp_path / "run")
    judged = sha256_of((run / "evidence.json").read_bytes())
    record = {"verdict": "promoted", "model_sha256": [sha256_of((run / "model.onnx").read_bytes())], "record": {"evidence_sha256": judged}}
    (run / "promotion.json").write_text(json.dumps(record))
    assert published(tmp_path, keys, run, role=Role.CHAMPION).role is Role.CHAMPION
    change(run / "evidence.json", trials={"dsr": 0.589})
    with pytest.raises(FixInput, match="given on other evidence"):
        published(tmp_path, keys, run, role=Role.CHAMPION)


def test_a_shadow_carries_no_refusal_and_an_evaluation_carries_the_one_it_is_given(tmp_path: Path, keys: Path) -> None:
    run = run_folder(tmp_path / "run")
    with pytest.raises(FixInput, match="carries no refusal"):
        published(tmp_path, keys, run, role=Role.SHADOW, refusal="x")
    done = published(tmp_path, keys, run, refusal="DSR 0.61 < 0.95")
    assert json.loads((done.folder / "manifest.json").read_bytes())["refusal"] == "DSR 0.61 < 0.95"


@pytest.mark.parametrize(
    ("spoil", "error", "reason"),
    [
        (lambda run: (run / "model.onnx").unlink(), FixInput, "model.onnx cannot be read"),
        (lambda run: (run / "evidence.json").write_text("{"), FixInput, "not a JSON document"),
        (
            lambda run: change(run / "evidence.json", walk_forward={"ic": {"mean": 0.1, "t": None, "standard_error": 1}}),
            FixInput,
            "the walk-forward IC has no t",
        ),
        (lambda run: change(run / "evidence.json", last_training_session="soon"), FixInput, "not a date"),
        (lambda run: change(run / "feature_list.json", spec_hash="0" * 64), FixInput, "spec_hash"),
        (lambda run: (run / "golden.npz").write_bytes(b"PK"), FixInput, "golden vectors cannot be read"),
        (lambda run: (run / "model.onnx").write_bytes(stump_model(WIDTH, seed=50)), BundleRefused, "do not reproduce"),
        (lambda run: (run / "model.onnx").write_bytes(b"\x00"), BundleRefused, "model.onnx"),
        (
            lambda run: np.savez(run / "golden.npz", inputs=np.array([object()]), scores=np.zeros(1)),
            FixInput,
            "golden vectors cannot be read",
        ),
    ],
)
def test_a_run_that_no_device_would_accept_leaves_the_store_as_it_was(
    tmp_path: Path, keys: Path, spoil, error: type[Exception], reason: str
) -> None:
    published(tmp_path, keys, run_folder(tmp_path / "good"))
    store = tmp_path / "store"
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    run = run_folder(tmp_path / "run")
    spoil(run)
    with pytest.raises(error, match=reason):
        published(tmp_path, keys, run)
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
    assert not list((store / PLACE).glob(".incoming-*"))


def test_features_of_another_version_are_not_published(tmp_path: Path, keys: Path) -> None:
    request = PublishRequest(run_folder(tmp_path / "run"), Role.EVALUATION, keys, tmp_path / "store", CREATED)
    with pytest.raises(BundleRefused, match="position 2"):
        publish(request, weekdays(), {"equities_xs": (*SPEC[:2], ("rank_mom_5", "rank", 7))})


def test_an_older_key_folder_never_replaces_the_store_s_key_set(tmp_path: Path, keys: Path) -> None:
    """A revocation must not be undone by publishing from a stale copy of the keys."""
    run, old = run_folder(tmp_path / "run"), (keys / "keyset.json").read_bytes()
    sign.add_key(keys, date(2030, 1, 2))
    published(tmp_path, keys, run)
    (keys / "keyset.json").write_bytes(old)
    with pytest.raises(FixInput, match="the store has key set version 2, this folder 1"):
        published(tmp_path, keys, run)


def test_keys_that_have_expired_by_now_do_not_sign(tmp_path: Path, keys: Path) -> None:
    with pytest.raises(FixInput, match="0 usable signing keys"):
        published(tmp_path, keys, run_folder(tmp_path / "run"), created=datetime(2030, 1, 3, tzinfo=UTC))


MAPS = {
    "event": "e",
    "platt": {"slope": 1.0, "intercept": 0.0},
    "isotonic": {"knots": [0.0], "levels": [0.5]},
    "temperature": None,
    "figures": {},
}


def fitted(model: str) -> dict[str, object]:
    return {"model_sha256": [model], "score_deviation": 1.0, "unseen_deviation": 1.0}


def test_maps_travel_with_the_model_that_they_were_fitted_for_alone(tmp_path: Path, keys: Path) -> None:
    """Another model's maps are refused; those of an earlier program, which name no model, stay behind."""
    run = run_folder(tmp_path / "run")
    own = sha256_of((run / "model.onnx").read_bytes())
    change(run / "evidence.json", calibration={**MAPS, "fitted_for": fitted(own)})
    manifest = json.loads((published(tmp_path, keys, run).folder / "manifest.json").read_bytes())
    platt = {"kind": "platt", **MAPS["platt"]}
    assert manifest["heads"][0]["calibration"] == {"event": MAPS["event"], "map": platt}
    change(run / "evidence.json", calibration=MAPS)
    manifest = json.loads((published(tmp_path, keys, run, "b").folder / "manifest.json").read_bytes())
    assert manifest["heads"][0]["calibration"] is None
    change(run / "evidence.json", calibration={**MAPS, "fitted_for": fitted("0" * 64)})
    with pytest.raises(FixInput, match="fitted for another model"):
        published(tmp_path, keys, run, "c")
    assert not (tmp_path / "c" / PLACE / "latest.json").exists()
