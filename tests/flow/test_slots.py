"""Bundles beside the one in force: risk forecasts scale the book, a shadow is recorded and never traded on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from appliance.bundles.feature_record import read_features
from appliance.ledger.figures import FeatureFile
from signals.bundle import Role
from signals.bundle.manifest import HeadLine, ModelForm
from signals.models.heads import QuantilesHead, ScoreHead
from signals.sleeves.risk import RISK
from tests.fakes import bundles
from tests.fakes import onnx_models as onnx
from tests.fakes.device import Workbench
from tests.fakes.onnx_models import nan_model, stump_model
from tests.fakes.store import Published, publish_bundle, recipe

Make = Callable[..., Workbench]
FORECASTS = {"score": 3, "volatility_21": 4, "volatility_5_low": 5, "volatility_5_high": 6, "drawdown_21": 7}  # seeds of their trees


def publish_risk(store: Published, seq: int = 1, model: bytes | None = None) -> str:
    """Publish a forecast of the real features: sums of stumps, so some names are calm and some wild."""
    width = len(RISK.spec)
    inputs = bundles.golden_inputs(width)
    made = bundles.Recipe(seq=seq, sleeve=RISK.name, spec=RISK.spec, last=store.last_training)
    files = {**made.files, "model.onnx": (bundles.Part.MODEL, model or stump_model(width))}
    golden = bundles.Golden.of_scores(inputs, bundles.stump_scores(inputs))
    return publish_bundle(store.root, made.but(files=files, golden=golden))


def publish_forecasts(store: Published) -> str:
    """Publish a risk bundle with every head that a training gives: the edges of its band cross here and there."""
    width = len(RISK.spec)
    inputs = bundles.golden_inputs(width)
    nodes = [onnx.stump_node(width, seed=seed, output=name) for name, seed in FORECASTS.items()]
    outputs = b"".join(onnx.block(12, onnx.value_info(name, ["N", 1])) for name in FORECASTS)
    kinds = {"volatility_5_low": QuantilesHead((0.05,)), "volatility_5_high": QuantilesHead((0.95,)), "drawdown_21": QuantilesHead((0.95,))}
    form = ModelForm(heads=tuple(HeadLine(name=name, head=kinds.get(name, ScoreHead())) for name in FORECASTS))
    known = bundles.Golden({"features": inputs}, {name: bundles.stump_scores(inputs, seed=s)[:, None] for name, s in FORECASTS.items()})
    made = bundles.Recipe(seq=1, sleeve=RISK.name, spec=RISK.spec, last=store.last_training, form=form, golden=known)
    files = {**made.files, "model.onnx": (bundles.Part.MODEL, onnx.model(nodes, width, outputs=outputs))}
    return publish_bundle(store.root, made.but(files=files))


def publish_shadow(store: Published, role: Role = Role.SHADOW) -> str:
    refusal = None if role is Role.SHADOW else "unproven"
    made = recipe(store.root / "data", store.last_training).but(role=role, refusal=refusal)
    if role is Role.SHADOW:
        return publish_bundle(store.root, made)
    elsewhere = store.root / "elsewhere"  # and by mistake put where a shadow belongs
    name = publish_bundle(elsewhere, made)
    shutil.copytree(elsewhere / made.sleeve / role, store.root / made.sleeve / Role.SHADOW)
    return name


def first_plan(bench: Workbench, day: str) -> dict[str, str]:
    """The decisions of the first session's plan."""
    assert bench("arm", "--session", day, "--yes").code == 0
    assert bench("run-day", "--session", day).code == 0
    ((figures,),) = bench.rows("SELECT figures FROM job_runs WHERE job = 'plan' AND session = ?", day)
    return dict(json.loads(figures)["decisions"])


def targets(bench: Workbench) -> dict[str, float]:
    return dict(bench.rows("SELECT symbol, weight FROM targets"))


@pytest.fixture
def day(published: Published) -> str:
    return str(published.sessions(1)[0])


def test_forecasts_of_volatility_scale_the_book_and_change_no_score(own_store: Published, make: Make, day: str) -> None:
    """The same scores with and without the forecasts; the plan with them says so and holds other weights."""
    plain = make(own_store, "plain")
    without = first_plan(plain, day)
    publish_risk(own_store)
    scaled = make(own_store, "scaled")
    told = first_plan(scaled, day)
    scores = "SELECT symbol, score FROM scores WHERE sleeve = 'equities_xs' ORDER BY symbol"
    assert scaled.rows(scores) == plain.rows(scores)
    forecasts = scaled.rows("SELECT score FROM scores WHERE sleeve = 'risk'")
    assert int(told["names with a volatility forecast"]) == len(forecasts) > 30
    assert "names with a volatility forecast" not in without
    assert float(told["forecast volatility over the window's, median"]) > 0.0
    assert told["forecast volatility at gross 1"] != without["forecast volatility at gross 1"]
    assert targets(scaled) != targets(plain)
    assert scaled("bundle", "--json").json["rows"] is not None


def test_every_forecast_of_the_risk_bundle_is_recorded_and_reported(own_store: Published, make: Make, day: str) -> None:
    """In natural units, bands in order; the report says which of them scales the book."""
    publish_forecasts(own_store)
    bench = make(own_store)
    first_plan(bench, day)
    ((figures,),) = bench.rows("SELECT figures FROM job_runs WHERE job = 'score' AND session = ?", day)
    record = read_features(bench.state / "features", FeatureFile(**json.loads(figures)["forecasts"]))
    assert record.names == ("volatility_5", "volatility_21", "volatility_5_low", "volatility_5_high", "drawdown_21")
    recorded = dict(bench.rows("SELECT symbol, score FROM scores WHERE sleeve = 'risk'"))
    crossed = 0
    for symbol, score in recorded.items():
        said = {one.name: one.value for one in record.of(symbol)}
        assert said["volatility_5"] == pytest.approx(np.exp(score), rel=1e-6)
        assert said["volatility_5_low"] <= said["volatility_5_high"]
        crossed += said["volatility_5_low"] == said["volatility_5_high"]
    assert crossed < len(recorded)
    report = json.loads((bench.state / "reports" / f"report_{day}.json").read_text())
    weights = targets(bench)
    assert [row["forecast"] for row in report["risk"]] == list(record.names)
    held = [recorded[symbol] for symbol, weight in weights.items() if weight and symbol in recorded]
    assert report["risk"][0]["median"] == pytest.approx(float(np.median(np.exp(held))), rel=1e-6)
    text = (bench.state / "reports" / f"report_{day}.md").read_text()
    assert "## Risk forecasts" in text
    assert "`volatility_5` scales covariance" in text


def test_a_shadow_is_scored_beside_the_bundle_in_force_and_changes_nothing(own_store: Published, make: Make, day: str) -> None:
    plain = make(own_store, "plain")
    first_plan(plain, day)
    publish_shadow(own_store)
    shadowed = make(own_store, "shadowed")
    first_plan(shadowed, day)
    sleeves = dict(shadowed.rows("SELECT sleeve, count(*) FROM scores GROUP BY sleeve"))
    assert sleeves["equities_xs shadow"] == sleeves["equities_xs"] > 30
    sources = dict(shadowed.rows("SELECT DISTINCT sleeve, source FROM scores"))
    assert sources["equities_xs shadow"] != sources["equities_xs"]
    orders = "SELECT symbol, side, quantity FROM intents ORDER BY symbol"
    assert shadowed.rows(orders) == plain.rows(orders)


@pytest.mark.parametrize("role", [Role.EVALUATION])
def test_a_slot_refuses_a_bundle_of_another_role_and_the_day_goes_on(own_store: Published, make: Make, day: str, role: Role) -> None:
    publish_shadow(own_store, role)
    bench = make(own_store)
    first_plan(bench, day)
    assert bench.rows("SELECT count(*) FROM scores WHERE sleeve LIKE '%shadow'") == [(0,)]
    alerts = bench("alerts", "--json").json["rows"]
    assert any(row["title"] == "the equities_xs shadow bundle is refused" for row in alerts)


def test_a_forecast_bundle_is_never_taken_for_the_bundle_in_force(own_store: Published, make: Make, day: str) -> None:
    """Published by mistake where the scores' bundle belongs, with a newer sequence: refused, the old one stays."""
    publish_risk(Published(own_store.root, own_store.trust, own_store.manifest, own_store.last_training))
    bench = make(own_store)
    first_plan(bench, day)
    in_force = bench.rows("SELECT DISTINCT source FROM scores WHERE sleeve = 'equities_xs'")
    moved = own_store.root / RISK.name / Role.EVALUATION
    name = next(path.name for path in moved.iterdir() if path.is_dir())
    target = own_store.bundles / name
    target.mkdir(parents=True)
    for path in (moved / name).iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    (own_store.bundles / "latest.json").write_bytes((moved / "latest.json").read_bytes())
    following = str(own_store.sessions(2)[1])
    assert bench("run-day", "--session", following).code == 0
    assert bench.rows("SELECT DISTINCT source FROM scores WHERE sleeve = 'equities_xs'") == in_force


def test_a_forecast_that_is_no_number_leaves_the_windows_volatility(own_store: Published, make: Make, day: str) -> None:
    """A model whose scores are NaN never passes its golden vectors: the slot stays empty and the book is as without."""
    publish_risk(own_store, model=nan_model(len(RISK.spec)))
    bench = make(own_store)
    assert "names with a volatility forecast" not in first_plan(bench, day)
    assert bench.rows("SELECT count(*) FROM scores WHERE sleeve = 'risk'") == [(0,)]


def test_what_is_recorded_is_what_the_model_said_of_the_session(own_store: Published, make: Make, day: str) -> None:
    """The recorded forecasts are the model's own on the features of asof, computed here from the published bars."""
    from signals.market.dataset import load_bars, read_manifest

    publish_risk(own_store)
    bench = make(own_store)
    first_plan(bench, day)
    ((asof,),) = bench.rows("SELECT DISTINCT asof FROM scores WHERE sleeve = 'risk'")
    manifest = read_manifest(Path(own_store.root / "data"))
    last = own_store.manifest.calendar.previous(own_store.sessions(1)[0])
    assert str(last) == asof
    features = RISK.features(load_bars(own_store.root / "data", manifest, manifest.first, last), last)
    symbols, rows = features.at(last)
    expected = dict(zip(symbols, bundles.stump_scores(rows).tolist(), strict=True))
    recorded = dict(bench.rows("SELECT symbol, score FROM scores WHERE sleeve = 'risk'"))
    assert recorded.keys() == expected.keys()
    np.testing.assert_allclose([recorded[s] for s in symbols], [expected[s] for s in symbols], atol=1e-6)
