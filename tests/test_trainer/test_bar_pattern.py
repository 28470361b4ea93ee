"""The net of pictures: what it is taught, by whom, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from sklearn.metrics import f1_score

from signals.bundle.calibration import TemperatureMap
from signals.errors import FixInput, InvariantBroken, TooLittleHistory
from signals.events.detectors import detect
from signals.events.images import WINDOW, images
from signals.events.panel import EventBars, Kind
from signals.features.panel import FeaturePanel
from signals.market.bars import PRICE_FIELDS, Bars
from signals.models.heads import PatternHead
from signals.sleeves.patterns import PATTERNS, pictured
from signals.text.documents import to_json
from signals.views.sample_views import BarImageView
from tests.fakes.bars import synthetic_bars
from tests.fakes.shapes import Windows, windows
from trainer.learners.pictures import class_and_pole, target_of
from trainer.runs.evidence import Evidence
from trainer.samples.samples import samples
from trainer.tasks.bar_pattern.labels import CLASSES, PatternLabel, PatternRecipe, read_checked, require_enough, shapes_of
from trainer.tasks.bar_pattern.task import (
    BAR_PATTERN,
    PatternFigures,
    PatternLearner,
    balanced,
    fit_map,
    natural,
    pattern_figures,
    warnings,
)

HEAD = PatternHead(CLASSES, 4)
EVERY = PatternLabel(plain_share=1.0, least=0)


@pytest.fixture(scope="module")
def bars() -> Bars:
    return synthetic_bars(11, sessions=300, symbols=24, missing=0.0)


def test_a_picture_of_the_view_is_that_of_its_bars_and_the_same_however_long_the_history(bars: Bars) -> None:
    """The painter's own pictures of the levels differ where a float32 ratio moves a price over half a level: in a few pixels."""
    view, panel = BarImageView(), PATTERNS.panel(bars)
    t, column = np.nonzero(pictured(bars))
    t, column = t[::97], column[::97]
    rows = view.rows(panel, t, column)
    assert rows.shape == (len(t), *view.shape(4)) and np.isfinite(rows).all() and len(t) > 30
    levels = EventBars.of(bars)
    ago = t[None] - np.arange(WINDOW)[::-1, None]
    painted = images(*(x[ago, column] for x in (levels.open, levels.high, levels.low, levels.close))) / np.float32(255)
    assert np.mean(rows != painted) < 1e-4
    last = int(t[-1])
    short = PATTERNS.features(bars, bars.sessions[last].astype(object), WINDOW)
    np.testing.assert_array_equal(view.rows(short, np.array([WINDOW - 1]), column[-1:])[0], rows[-1])


def test_what_lacks_a_bar_has_no_picture(bars: Bars) -> None:
    hole = np.zeros(bars.close.shape, bool)
    hole[200, 3] = True
    emptied = {name: np.where(hole, np.nan, getattr(bars, name)) for name in (*PRICE_FIELDS, "volume", "total_return", "overnight_return")}
    holed = replace(bars, **emptied, eligible=bars.eligible & ~hole)
    seen, view = pictured(holed), BarImageView()
    assert not seen[: WINDOW - 1].any() and seen[WINDOW - 1 : 200, 3].any() and not seen[200:, 3].any()
    rows = view.rows(PATTERNS.panel(holed), np.array([100, 210, 210]), np.array([3, 3, 4]))
    assert np.isnan(rows[:2]).all() and np.isfinite(rows[2]).all()
    with pytest.raises(InvariantBroken, match="3 features are not the 4 of a bar"):
        view.shape(3)
    lying = FeaturePanel(bars.sessions, bars.symbols, PATTERNS.names, -np.ones((300, 24, 4), np.float32), bars.eligible.copy())
    assert np.isnan(view.rows(lying, np.array([250]), np.array([0]))).all()  # a return of -100 % and less is no level


def test_generated_windows_show_what_was_planted() -> None:
    made = windows(5, 400, (0.6, 0.1, 0.1, 0.1, 0.1))
    found = detect(
        EventBars(made.open, made.high, made.low, made.close, np.full_like(made.close, np.nan), np.zeros(made.close.shape, bool))
    )
    kind = np.where(found.kind[-1] == Kind.BREAKOUT, 0, found.kind[-1])
    np.testing.assert_array_equal(kind, made.number)
    assert np.isfinite(made.pole[made.number == 1]).all() and np.isnan(made.pole[made.number != 1]).all()


def test_class_and_pole_are_one_number_and_come_apart_again() -> None:
    number, pole = np.array([0, 1, 1, 4]), np.array([np.nan, 3.0, 40.0, np.nan])
    there, length = class_and_pole(target_of(number, pole).astype(np.float32).astype(np.float64))
    np.testing.assert_array_equal(there, number)
    np.testing.assert_allclose(length, np.log(pole), atol=1e-5)


def test_labels_are_the_rules_and_a_checked_example_stands_over_them(bars: Bars, tmp_path: Path) -> None:
    plain = shapes_of(bars, EVERY)
    row, column = (int(x[0]) for x in np.nonzero(plain.chosen & (plain.number == Kind.FLAG)))
    other = int(np.flatnonzero(plain.chosen[250] & (plain.number[250] == 0))[0])
    checked = tmp_path / "checked.csv"
    said = [
        f"{bars.symbols[column]},day,{bars.sessions[row]},none",
        f"{bars.symbols[other]},day,{bars.sessions[250]},wick",
        "X,day,2020-01-02,flag",
    ]
    checked.write_text("\n".join(["symbol,timeframe,bar,label", *said]))
    found = shapes_of(bars, EVERY.model_copy(update={"checked": str(checked)}))
    assert (found.number[row, column], found.number[250, other], found.changed) == (0, Kind.WICK, 2)
    assert np.isnan(found.pole[row, column]) and found.is_checked.sum() == 2
    assert (found.number != plain.number).sum() == 2
    np.testing.assert_array_equal(plain.number[plain.number > 0], detect(EventBars.of(bars)).kind[plain.number > 0])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("symbol,bar,label\n", "no CSV with the columns"),
        ("", "no CSV with the columns"),
        ("symbol,timeframe,bar,label\nA,day,2020-01-02\n", "label: Input should be.*line 2"),
        ("symbol,timeframe,bar,label\nA,5min,2020-01-02,flag\n", "timeframe: Input should be 'day'"),
        ("symbol,timeframe,bar,label\nA,day,2020-01-02,flag,sure\n", "Keys should be strings"),
        ("symbol,timeframe,bar,label\nA,day,2020-01-02,pennant\n", "label: Input should be 'none', 'flag'"),
        ("symbol,timeframe,bar,label\nA,day,yesterday,flag\n", "bar: Input should be a valid date"),
        ("symbol,timeframe,bar,label\nA,day,2020-01-02,flag\nA,day,2020-01-02,none\n", "has two labels"),
        ("symbol,timeframe,bar,label\n\xff,day", "cannot be read"),
    ],
)
def test_a_file_of_examples_that_says_nothing_is_refused(content: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "checked.csv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(FixInput, match=what):
        read_checked(path)
    with pytest.raises(FixInput, match="cannot be read"):
        read_checked(tmp_path / "none.csv")


def test_too_few_pictures_are_refused_with_the_number_that_is_missing(bars: Bars) -> None:
    counts = shapes_of(bars, EVERY).counts()
    with pytest.raises(TooLittleHistory, match=f"wick has {counts['wick']} of 5000, {5000 - counts['wick']} missing"):
        BAR_PATTERN.labels(bars, PatternRecipe(label=EVERY.model_copy(update={"least": 5000})), ())
    require_enough(shapes_of(bars, EVERY), min(counts.values()))


def test_drawn_plain_bars_stand_for_all_and_are_the_same_in_a_shorter_history(bars: Bars) -> None:
    label = EVERY.model_copy(update={"plain_share": 0.25})
    whole, part = shapes_of(bars, EVERY), shapes_of(bars, label)
    short = shapes_of(bars.rows(0, 250), label)
    np.testing.assert_array_equal(short.chosen, part.chosen[:250])
    rows = samples(PATTERNS.panel(bars), BAR_PATTERN.labels(bars, PatternRecipe(label=label), ()), min_names=1, view=BarImageView())
    weight = natural(rows, part, label)
    assert weight[rows.label == 0].sum() == pytest.approx(whole.counts()["none"], rel=0.05)
    assert (weight[rows.label > 0] == 1.0).all() and rows.inputs()[np.arange(3)].shape == (3, 3, 64, 64)


def test_classes_weigh_alike() -> None:
    weight = balanced(target_of(np.array([0, 0, 0, 1, 1, 2]), np.full(6, np.nan)))
    assert weight.tolist() == pytest.approx([2 / 3] * 3 + [1.0] * 2 + [2.0])


@dataclass(frozen=True)
class Sure:
    """A learner that is sure of what the first pixel of a picture says, and keeps what it was taught."""

    head: PatternHead = HEAD
    taught: tuple[float, ...] = ()
    pseudo: Mapping[str, int] = field(default_factory=dict)

    def fit(self, features: Any, target: Any, weight: Any, names: Any, sessions: Any = None) -> Sure:
        return replace(self, taught=tuple(target.tolist()))

    def outputs(self, features: Any) -> Any:
        said = features[:, 0, 0, 0].astype(int)
        return np.concatenate([np.eye(5)[said] * np.where(said == 2, 1.0, 20.0)[:, None], np.zeros((len(said), 5))], axis=1)


def test_what_a_first_net_is_sure_of_where_no_rule_holds_teaches_a_second_and_is_counted() -> None:
    """It is not sure of the wedge, and a shape that a rule names stays what it is."""
    pictures = np.zeros((5, 3, 64, 64), np.float32)
    pictures[:, 0, 0, 0] = (0, 1, 2, 4, 4)
    target = target_of(np.array([0, 0, 0, 0, 1]), np.array([np.nan] * 4 + [5.0]))
    found = cast(Any, PatternLearner(cast(Any, Sure()), pseudo=0.9).fit(pictures, target, np.ones(5), ()))
    assert found.taught[:4] == (0.0, 1.0, 0.0, 4.0) and found.taught[4] == target[4]
    assert found.pseudo == {"flag": 1, "wedge": 0, "blow_off": 0, "wick": 1}
    assert cast(Any, PatternLearner(cast(Any, Sure())).fit(pictures, target, np.ones(5), ())).taught == tuple(target)


def test_temperature_and_mix_make_probabilities_that_come_true_and_figures_are_those_of_the_library() -> None:
    rng, shares = np.random.default_rng(3), np.array([0.8, 0.1, 0.05, 0.03, 0.02])
    exact = np.log(np.eye(5) * 0.7 + 0.06)
    draw = {name: rng.choice(5, 40_000, p=p) for name, p in (("balanced", np.full(5, 0.2)), ("natural", shares))}
    seen = {name: (exact[number] + rng.gumbel(size=(40_000, 5))).argmax(axis=1) for name, number in draw.items()}
    said = {name: np.concatenate([3.0 * exact.T[given], np.zeros((40_000, 5))], axis=1) for name, given in seen.items()}
    known = fit_map(said["balanced"][:, :5], draw["balanced"], shares)
    assert known.temperature == pytest.approx(3.0, rel=0.05)
    number, one = draw["natural"], np.ones(40_000)
    found = pattern_figures(HEAD, known, said["natural"], target_of(number, np.full(40_000, np.nan)), one)
    assert found.ece < 0.01 < 0.1 < found.raw_ece and found.shares == pytest.approx(tuple(shares))
    named = known.logits(said["natural"][:, :5]).argmax(axis=1)
    f1 = f1_score(number, named, average=None, labels=range(5), zero_division=np.nan)
    np.testing.assert_allclose(found.f1, f1)
    assert np.sum(found.confusion) == pytest.approx(1.0) and found.base_rates == pytest.approx(tuple(np.bincount(number) / 40_000))
    twice = pattern_figures(HEAD, known, np.repeat(said["natural"], 2, axis=0), np.repeat(number, 2).astype(float), np.ones(80_000))
    whole = pattern_figures(HEAD, known, said["natural"], number.astype(float), np.full(40_000, 2.0))
    np.testing.assert_allclose(whole.confusion, twice.confusion)
    assert whole.ece == pytest.approx(twice.ece, abs=1e-3)
    evidence = replace(Evidence(), others={"pattern": to_json(found)})
    assert len(BAR_PATTERN.lines(evidence)) == 3 + 2 * 5 and [one[:27] for one in warnings(found)] == ["the net does not see what t"]
    assert len(warnings(PatternFigures())) == 2


def test_the_error_of_poles_is_that_of_flags_alone() -> None:
    number, pole = np.array([0, 1, 1, 1]), np.array([np.nan, 4.0, 8.0, 16.0])
    given = np.concatenate([np.eye(5)[number], np.log([[9.0], [4.0], [8.0], [8.0]]), np.zeros((4, 4))], axis=1)
    found = pattern_figures(HEAD, TemperatureMap(temperature=1.0), given, target_of(number, pole), np.ones(4))
    assert found.pole_error == pytest.approx(np.log(2.0) / 3.0)
    assert found.constant_error == pytest.approx(2.0 * np.log(2.0) / 3.0)


@pytest.mark.deep
def test_a_small_net_sees_planted_shapes_and_is_exported_in_parts() -> None:
    """A small slice of `make pattern-campaign`."""
    pytest.importorskip("torch", reason="torch is installed by `make test-deep`")
    from signals.bundle.graph import check_model
    from signals.bundle.profiles import ProfileName
    from trainer.learners.base import FitDevice
    from trainer.learners.export import export
    from trainer.learners.table import LEARNERS, learner_named
    from trainer.tasks.bar_pattern.task import outputs_of

    taught, later = windows(1, 1000, (0.4, 0.15, 0.15, 0.15, 0.15)), windows(2, 300, (0.4, 0.15, 0.15, 0.15, 0.15))
    small = {"channels": (6, 12), "embedding": 4, "epochs": 8, "batch_rows": 25, "learning_rate": 4e-3, "dropout": 0.0, "mixing": 0.1}
    config = PatternRecipe.model_validate({"bar_cnn": small})
    learner = PatternLearner(learner_named("bar_cnn", config, 1, FitDevice.CPU, head=HEAD))

    def shown(made: Windows) -> np.ndarray:
        """The newer half of the bars, every other level: a quarter of the work."""
        return np.ascontiguousarray(made.pictures()[:, :, 32:, ::2]) / np.float32(255)

    model = learner.fit(shown(taught), taught.target, np.ones(1000), PATTERNS.names)
    seen = shown(later)
    found = outputs_of(model, seen, np.arange(300))
    named = found[:, :5].argmax(axis=1)
    assert f1_score(later.number, named, average="macro") > 0.7
    exported = export(model, seen[:64])
    graph = check_model(exported.onnx, "model.onnx", ProfileName.IMAGE_1, outputs=("score", "pole", "embedding"))
    assert graph.outputs == {"score": (None, 5), "pole": (None, 1), "embedding": (None, 4)}
    again = LEARNERS["bar_cnn"].read(model.to_text(), PATTERNS.names)
    np.testing.assert_array_equal(outputs_of(again, seen, np.arange(20)), found[:20])
    assert json.loads(model.to_text())["head"] == {"classes": list(CLASSES), "length": 4, "kind": "pattern"}
    assert isinstance(model.importance(), Sequence | np.ndarray) and not np.any(model.importance())


@pytest.mark.deep
def test_a_focal_loss_weighs_what_the_net_is_sure_of_less() -> None:
    """Probabilities of 0.8 and 0.2 of the class: 0.2^2 x -ln 0.8 and 0.8^2 x -ln 0.2, and a pole's own error as it is."""
    torch = pytest.importorskip("torch", reason="torch is installed by `make test-deep`")
    from trainer.learners.networks.layers import losses

    given = np.concatenate([np.log([[0.8, 0.05, 0.05, 0.05, 0.05], [0.2] * 5]), np.full((2, 5), 2.0)], axis=1)
    target = target_of(np.array([0, 1]), np.array([np.nan, np.exp(3.0)]))
    found = losses(HEAD, *(torch.tensor(x, dtype=torch.float64) for x in (given, target)), 2.0)
    assert found.tolist() == pytest.approx([0.04 * -np.log(0.8), 0.64 * -np.log(0.2) + 1.0])
    config = PatternRecipe.model_validate({"bar_cnn": {"focal": 2.0}})
    assert not cast(Any, BAR_PATTERN.learner(config, 1, cast(Any, "cpu"))).is_balanced
    assert "focal" not in PatternRecipe.model_validate({"bar_cnn": {"jitter": 2}}).of("bar_cnn").model_dump()


def test_a_net_that_was_taught_the_natural_mix_is_mapped_from_it() -> None:
    """Outputs that are the logarithms of the posterior: temperature 1, and no shift is left."""
    rng, shares = np.random.default_rng(3), np.array([0.6, 0.1, 0.1, 0.1, 0.1])
    number = rng.choice(5, 40_000, p=shares)
    exact = np.log(np.eye(5) * 0.7 + 0.06)
    seen = (exact[number] + rng.gumbel(size=(40_000, 5))).argmax(axis=1)
    known = fit_map(exact.T[seen] + np.log(shares), number, shares, shares)
    assert known.temperature == pytest.approx(1.0, rel=0.05) and known.shift == pytest.approx((0.0,) * 5, abs=1e-9)


@pytest.mark.deep
def test_pictures_are_moved_by_whole_levels_and_mixed_with_their_partners() -> None:
    torch = pytest.importorskip("torch", reason="torch is installed by `make test-deep`")
    from trainer.learners.networks.families.pictures import BarCnn
    from trainer.learners.networks.parameters import BarCnnConfig

    shown, noise = torch.rand((40, 3, 8, 8), generator=torch.Generator().manual_seed(1)), torch.Generator().manual_seed(2)
    moved, _, _ = BarCnn((3, 8, 8), 10, BarCnnConfig(channels=(2,), embedding=2, mixing=0.0, jitter=2)).augmented(shown, noise)
    reach = set()
    for before, after in zip(shown, moved, strict=True):
        alike = [by for by in range(-2, 3) if torch.equal(after, before[:, :, [min(max(i - by, 0), 7) for i in range(8)]])]
        assert len(alike) == 1
        reach |= set(alike)
    assert reach == {-2, -1, 0, 1, 2}
    mixed, partner, own = BarCnn((3, 8, 8), 10, BarCnnConfig(channels=(2,), embedding=2, mixing=0.5, jitter=0)).augmented(shown, noise)
    assert sorted(partner.tolist()) == list(range(40)) and 0.5 <= float(own.min()) < 0.6 < 0.9 < float(own.max()) <= 1.0
    torch.testing.assert_close(mixed, own[:, None, None, None] * shown + (1.0 - own)[:, None, None, None] * shown[partner])
