"""Stacking: who saw what, what is learned, what happens when a member is missing, and when a stack may be used."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from appliance.config import ApplianceConfig
from portfolio.policy.blend import SizedScores, blended
from portfolio.risk.kelly import SizingCoefficient
from signals.errors import FixInput, TooLittleHistory
from signals.files import sha256_of
from signals.market.dataset import load_actions, load_bars, read_manifest
from signals.scoring.scores import Scores, inverse_normal
from signals.scoring.sleeve_weights import SleeveWeights
from signals.text.documents import from_json
from tests.fakes.bars import all_filled
from tests.fakes.curated import curate
from tests.fakes.plugin import write_reversal
from trainer.__main__ import app
from trainer.curation.store import FolderObjectStore
from trainer.labels.horizon import horizon_labels
from trainer.learners.parameters import LightGbmConfig
from trainer.publishing.keys import create_keys
from trainer.publishing.signed.documents import publish_stack
from trainer.recipes.base import CpcvConfig, RecipeConfig
from trainer.runs import looks
from trainer.runs.evidence import Evidence, WalkForward
from trainer.runs.run_folder import canonical_json
from trainer.runs.trials import EvidenceTrials
from trainer.stacking.members import MIN_SESSIONS, ConfiguredCombiner, Member, Members, RidgeCombiner, Weights, device_weights, read_members
from trainer.stacking.run import StackFigures, StackLearner, StackRequest, stack
from trainer.stacking.verdict import ScoreRecord, prove, records, reliability, rows_of
from trainer.tasks.recipes import RECIPES
from trainer.training.train import TrainingRequest as TrainRequest
from trainer.training.train import train
from trainer.validation.ic import Mean
from trainer.validation.splits.cpcv import path_table

GROUPS, SESSIONS, NAMES = 6, 360, 30
PATHS = GROUPS - 1


def market(strengths: tuple[float, ...], seed: int = 0, *, absent: tuple[int, slice] | None = None) -> Members:
    """Members whose scores are the label's own signal, each part of it with noise of its own."""
    rng = np.random.default_rng(seed)
    label = rng.normal(0, 0.03, (SESSIONS, NAMES))
    group = np.repeat(np.arange(GROUPS), SESSIONS // GROUPS)
    members = []
    for row, strength in enumerate(strengths):

        def scores() -> np.ndarray:
            return strength * label / 0.03 + rng.normal(size=label.shape)  # noqa: B023

        paths, forward = np.array([scores()] * PATHS), scores()
        forward[group == 0] = np.nan
        if absent and absent[0] == row:
            paths[:, absent[1]], forward[absent[1]] = np.nan, np.nan
        evidence = Evidence(
            walk_forward=WalkForward(Mean(0.05, 0.01, 5.0, 360)),
            trials=EvidenceTrials(n_trials=1),
            snapshot_id="0",
            config_hash="0",
            code_version="0",
        )
        members.append(Member(f"sleeve{row}", f"sleeve{row}", evidence, paths, forward))
    days = np.busday_offset(np.datetime64("2020-01-01"), np.arange(SESSIONS), roll="forward")
    return Members(tuple(members), days, tuple(f"N{i:02d}" for i in range(NAMES)), label, group, GROUPS, 5, 10)


def test_inputs_of_a_tested_group_come_from_models_that_never_saw_it() -> None:
    """Every path holds the number of the split that made it: group g next to t must show the split {g, t} alone."""
    plain = market((0.1,))
    table = path_table(GROUPS, 2)
    marked = np.empty((PATHS, SESSIONS, NAMES))
    for path in range(PATHS):
        marked[path] = table[path][plain.group][:, None]
    members = replace(plain, members=(replace(plain.members[0], paths=marked),))
    number = {pair: n for n, pair in enumerate(combinations(range(GROUPS), 2))}
    for tested in range(GROUPS):
        scores = members.apart_from(tested)[0]
        for group in range(GROUPS):
            if group != tested:
                expected = number[min(group, tested), max(group, tested)]
                assert (scores[plain.group == group] == expected).all()
        own = [number[min(g, tested), max(g, tested)] for g in range(GROUPS) if g != tested]
        np.testing.assert_allclose(scores[plain.group == tested], np.mean(own))


def test_a_stack_is_not_tested_on_sessions_whose_labels_it_learned_from() -> None:
    """Labels of the tested group replaced by garbage change nothing of what its own stack learned."""
    members = market((0.2, 0.1))
    spoiled = members.label.copy()
    spoiled[members.group == 2] = np.random.default_rng(9).normal(size=(SESSIONS // GROUPS, NAMES))
    before, after = prove(members, RidgeCombiner((1, 1))), prove(replace(members, label=spoiled), RidgeCombiner((1, 1)))
    everyone = (True, True)
    np.testing.assert_array_equal(before.by_group[2].learned[everyone], after.by_group[2].learned[everyone])  # type: ignore[union-attr]
    assert not np.array_equal(before.by_group[3].learned[everyone], after.by_group[3].learned[everyone])  # type: ignore[union-attr]


def test_nothing_of_the_future_enters_a_walk_forward_stack() -> None:
    """Other labels from group 4 on leave groups 2 to 4 to the bit; only group 5 may change."""
    members = market((0.2, 0.1))
    spoiled = members.label.copy()
    spoiled[members.group >= 4] = np.random.default_rng(9).normal(size=(2 * SESSIONS // GROUPS, NAMES))
    before, after = (prove(m, RidgeCombiner((1, 1))).forward for m in (members, replace(members, label=spoiled)))
    np.testing.assert_array_equal(before[members.group <= 4], after[members.group <= 4])
    assert np.isnan(before[members.group < 2]).all()


def test_ridge_weights_by_hand() -> None:
    """Uncorrelated members with slopes 0.3 and 0.1 get weights 3 : 1, whatever the equal penalty; they sum to one."""
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(2, 400, 50))
    label = 0.3 * scores[0] + 0.1 * scores[1] + rng.normal(size=(400, 50))
    learned = RidgeCombiner((1, 1)).fit(scores, label, np.ones(400, bool)).learned[True, True]
    assert learned.sum() == pytest.approx(1.0)
    assert learned[0] / learned[1] == pytest.approx(3.0, rel=0.15)


def test_a_harmful_member_weighs_nothing_and_never_less() -> None:
    rng = np.random.default_rng(4)
    scores = rng.normal(size=(2, 300, 40))
    label = 0.3 * scores[0] - 0.2 * scores[1] + rng.normal(size=(300, 40))
    learned = RidgeCombiner((1, 1)).fit(scores, label, np.ones(300, bool)).learned[True, True]
    assert learned.tolist() == [1.0, 0.0]


def test_a_missing_member_leaves_the_others_weights_and_without_those_the_configured_average() -> None:
    """Three members; the third is absent after session 200. Weights of the first two together were learned; in
    sessions where only the third is there, it stands only; a set that was never learned takes the average."""
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(3, 400, 20))
    label = scores[0] * 0.3 + scores[1] * 0.1 + rng.normal(size=(400, 20))
    weights = RidgeCombiner((2.0, 1.0, 1.0)).fit(scores, label, np.ones(400, bool))
    assert len(weights.learned) == 7
    pair = scores.copy()
    pair[2] = np.nan
    expected = np.einsum("m,mtn->tn", weights.learned[True, True, False], np.nan_to_num(pair))
    np.testing.assert_allclose(weights.combine(pair), expected)
    unlearned = Weights({}, np.array([2.0, 1.0, 1.0]))
    np.testing.assert_allclose(unlearned.combine(pair), 2.0 * scores[0] + scores[1])
    assert np.isnan(unlearned.combine(np.full((3, 2, 2), np.nan))).all()
    few = RidgeCombiner((2.0, 1.0, 1.0)).fit(scores, label, np.arange(400) < MIN_SESSIONS - 1)
    assert few.learned == {}


def test_a_sleeve_absent_for_a_stretch_still_gives_scores_there() -> None:
    members = market((0.2, 0.2), absent=(1, slice(250, 300)))
    proof = prove(members, RidgeCombiner((1, 1)))
    assert np.isfinite(proof.out_of_fold).all()
    assert np.isfinite(proof.forward[members.group >= 2]).all()


def test_the_weights_do_on_a_device_what_they_did_here() -> None:
    """The device's blend of one session, with the weights written for it, says of every name what the stack does, in scale."""
    members = market((0.2, 0.1))
    proof = prove(members, RidgeCombiner((1, 1)))
    assert isinstance(proof.whole, Weights)
    learned, ics = proof.whole.learned[True, True], [SizingCoefficient(0.06, 5.0, 3.0), SizingCoefficient(0.02, 3.0, 3.0)]
    weights = device_weights(learned, [ic.shrunk for ic in ics])
    day = members.sessions[100].astype(object)
    raw = [member.out_of_fold[100] for member in members.members]
    said = [Scores(day, m.name, members.symbols, v, "0") for m, v in zip(members.members, raw, strict=True)]
    on_device = blended([SizedScores(s, ic, 5, float(w)) for s, ic, w in zip(said, ics, weights, strict=True)])
    here = proof.whole.combine(np.array([inverse_normal(v) for v in raw])[:, None, :])[0]
    np.testing.assert_allclose(on_device.values / np.abs(on_device.values).sum(), here / np.abs(here).sum(), rtol=1e-9)


def test_a_member_that_supports_no_bet_on_a_device_is_given_no_weight() -> None:
    assert device_weights(np.array([0.6, 0.4]), [0.02, -0.01]).tolist() == [1.0, 0.0]
    assert device_weights(np.array([0.6, 0.4]), [0.03, 0.01]).tolist() == pytest.approx([1 / 3, 2 / 3])
    assert device_weights(np.array([0.6, 0.4]), [0.0, 0.0]).tolist() == [0.0, 0.0]


def test_the_configured_weights_are_multiplied_by_ics_that_no_tested_session_entered() -> None:
    """As a device counts them: weight times shrunk IC. Garbage in the tested group changes nothing of what was measured."""
    members = market((0.3, 0.1))
    spoiled = members.label.copy()
    spoiled[members.group == 2] = np.random.default_rng(9).normal(size=(SESSIONS // GROUPS, NAMES))
    combiner = ConfiguredCombiner((1.0, 1.0), 5)
    before, after = prove(members, combiner), prove(replace(members, label=spoiled), combiner)
    np.testing.assert_array_equal(before.by_group[2].average, after.by_group[2].average)  # type: ignore[union-attr]
    assert not np.array_equal(before.by_group[3].average, after.by_group[3].average)  # type: ignore[union-attr]
    strong, weak = before.by_group[2].average  # type: ignore[union-attr]
    assert strong > 2 * weak > 0


def judged(members: Members) -> dict[str, bool]:
    following = all_filled(members.label / 5)
    average = prove(members, RidgeCombiner((1, 1)))
    found = records(members, prove(members, RidgeCombiner((1, 1))), average, following)
    return {row.what: row.passed for row in rows_of(found, members.horizon)}


def test_two_independent_sources_of_the_same_strength_are_promotable_together() -> None:
    assert all(judged(market((0.15, 0.15), seed=1)).values())


def test_scores_whose_meaning_turns_have_probabilities_that_do_harm() -> None:
    """The map of the earlier half is judged on the later one: honest scores pass, those that turn round there do not."""
    members = market((0.3, 0.0), seed=3)
    honest = members.members[0].out_of_fold
    turned = np.where(np.arange(len(honest))[:, None] < len(honest) // 2, honest, -honest)
    kept, lost = (reliability(scores, members.label, members.horizon) for scores in (honest, turned))
    assert kept is not None and kept.slope > 0.5 and kept.excess_brier < 0.0
    assert lost is not None and lost.slope < 0.0 and lost.excess_brier > 1.645 * lost.excess_error > 0.0
    assert reliability(np.zeros_like(honest), members.label, members.horizon) is None
    assert reliability(honest[:3], members.label[:3], members.horizon) is None


def test_noise_added_to_a_signal_is_not() -> None:
    assert not all(judged(market((0.15, 0.0), seed=2)).values())


@pytest.mark.parametrize(("t", "is_enough"), [(1.7, False), (2.25, False), (2.35, True)])
def test_an_advantage_out_of_fold_needs_more_than_the_noise_of_folds_that_share_data(t: float, is_enough: bool) -> None:
    """Its noise has a t of standard deviation 1.4 there, so that one-sided 5 % are 2.30 and not 1.645."""
    own = np.zeros(400)
    difference = np.tile([1.0, -1.0], 200) / 100
    difference += t * difference.std(ddof=1) / np.sqrt(400)
    plain = ScoreRecord(Mean(0.0, 0.0, np.nan, 400), Mean(0.0, 0.0, np.nan, 400), own, np.zeros(40), 1)
    found = {"a": plain, "weighted average": plain, "stack": replace(plain, series=own + difference)}
    [row] = [row for row in rows_of(found, 1) if row.what.startswith("t of the IC's advantage, 2.30")]
    assert row.stack == pytest.approx(t) and row.passed is is_enough


def test_a_book_that_never_moved_is_never_better() -> None:
    still = ScoreRecord(Mean(0.0, 0.0, float("nan"), 9), Mean(0.0, 0.0, float("nan"), 9), np.zeros(9), np.zeros(40), 1)
    moved = replace(still, net=np.random.default_rng(1).normal(0.001, 0.01, 40))
    rows = {row.what: row.passed for row in rows_of({"a": moved, "weighted average": still, "stack": still}, 5)}
    assert not rows["walk-forward Sharpe ratio a year, net"]
    assert not rows["deflated Sharpe ratio"]


def test_two_groups_are_too_few() -> None:
    members = market((0.1, 0.1))
    with pytest.raises(TooLittleHistory, match="groups"):
        prove(replace(members, groups=2), RidgeCombiner((1, 1)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return curate(tmp_path_factory.mktemp("market"))


def recipe(kind: str, **cpcv: int) -> RecipeConfig:
    settings = {"groups": 4, "test_groups": 2, "embargo_sessions": 5, "holdout_sessions": 40} | cpcv
    return RecipeConfig(learner=kind, lightgbm=LightGbmConfig(trees=10, num_leaves=7, min_data_in_leaf=100), cpcv=CpcvConfig(**settings))


@pytest.fixture(scope="module")
def runs(data: Path) -> tuple[Path, Path]:
    folders = []
    for kind in ("lightgbm", "ridge"):
        folder = data.parent / f"run-{kind}"
        request = TrainRequest(data=data, run=folder, start=None, end=None, symbols=(), seed=1, workers=2, code_version="test")
        train(RECIPES["equities_xs"], recipe(kind), request, lambda _: None)
        folders.append(folder)
    return folders[0], folders[1]


def test_two_sleeves_one_of_them_a_plug_in_are_trained_stacked_judged_and_weigh_a_device_if_they_earn_it(
    runs: tuple[Path, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fold-consistent though they read other features; only a promotable stack is published."""
    monkeypatch.syspath_prepend(str(write_reversal(tmp_path / "plugin")))
    other = tmp_path / "reversal"
    request = TrainRequest(data=data, run=other, start=None, end=None, symbols=(), seed=1, workers=2, code_version="test")
    train(RECIPES["reversal"], recipe("ridge"), request, lambda _: None)
    known = stack(asked((runs[1], other), data, tmp_path / "stack"))
    assert [member.name for member in known.members] == ["equities_xs", "reversal"]
    weights = known.device_weights or {}
    assert set(weights) <= {"equities_xs", "reversal"} and (not weights or sum(weights.values()) == pytest.approx(1.0, abs=1e-5))
    assert (tmp_path / "stack" / "sleeves.yml").exists() == bool(known.promotable and weights)
    keys, store = tmp_path / "keys", FolderObjectStore(tmp_path / "store")
    create_keys(keys, date(2030, 1, 1))
    path = tmp_path / "stack" / "stack.json"
    words = (path.parent, data, keys, store, datetime(2024, 1, 1, tzinfo=UTC))
    if not (known.promotable and weights):
        with pytest.raises(FixInput, match=r"not better than its best member|has no weights"):
            publish_stack(*words)
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"promotable": True, "device_weights": {"equities_xs": 0.6, "reversal": 0.4}})
    )
    with pytest.raises(FixInput, match="no `trainer stack` with this dataset wrote this verdict"):
        publish_stack(*words)
    forged = sha256_of(path.read_bytes())
    looks.record(data, looks.Look(looks.STACK, "equities_xs", forged, str(known.first), str(known.last), forged))
    made = publish_stack(*words)
    assert made.weights == {"equities_xs": 0.6, "reversal": 0.4} and set(made.members) == set(made.weights)


def test_a_stack_takes_no_member_that_was_changed_since_its_training(runs: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    changed = tmp_path / runs[0].name
    shutil.copytree(runs[0], changed)
    scores = pq.read_table(changed / "oof.parquet")
    better = scores.set_column(scores.schema.get_field_index("score"), "score", scores["label"])
    pq.write_table(better, changed / "oof.parquet")
    with pytest.raises(FixInput, match="not what its training wrote"):
        stack(asked((changed, runs[1]), data, tmp_path / "stack"))
    assert not (tmp_path / "stack").exists()


def asked(runs: tuple[Path, ...], data: Path, to: Path, learner: StackLearner = StackLearner.RIDGE) -> StackRequest:
    return StackRequest(runs, data, to, {"equities_xs": 1.0}, learner, 1, "test")


@pytest.mark.parametrize("learner", list(StackLearner))
def test_a_stack_of_real_runs_is_written_whole_and_the_same_twice(
    runs: tuple[Path, Path], data: Path, tmp_path: Path, learner: StackLearner
) -> None:
    for name in ("one", "two"):
        known = stack(asked(runs, data, tmp_path / name, learner))
    assert known.members[0].name == "run-lightgbm"
    files = [
        {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
        for name in ("one", "two")
    ]
    assert files[0] == files[1]
    assert {"stack.json", "oof.parquet", "walk_forward.parquet", "report.html", "report.md"} <= set(files[0])
    assert ("model.onnx" in files[0]) == (learner is StackLearner.LIGHTGBM)
    document = json.loads(files[0]["stack.json"])
    assert canonical_json(from_json(StackFigures, document)) == files[0]["stack.json"], "it is read back without loss"
    assert sum(document["budgets"].values()) == pytest.approx(1.0, abs=1e-5) and min(document["budgets"].values()) > 0.0
    assert {"Risk budgets (HRP)", "Risk budgets that move"} <= set(re.findall(r"Risk budgets[^|]*[a-z)]", files[0]["report.md"].decode()))
    assert all(
        document["stability"]["low"][name] <= share <= document["stability"]["high"][name] for name, share in document["budgets"].items()
    )
    before = {name: value for name, value in document.items() if name not in ("budgets", "stability")}
    assert from_json(StackFigures, before).budgets == {} and from_json(StackFigures, before).stability.resampled is None, (
        "one of before has none"
    )
    assert document["promotable"] == all(row["passed"] for row in document["rows"])
    assert "sleeves.yml" not in files[0], "two runs of one sleeve have one name on a device"


def test_labels_of_the_runs_are_the_datasets_own(runs: tuple[Path, Path], data: Path) -> None:
    members = read_members(runs, data)
    manifest = read_manifest(data)
    bars, actions = load_bars(data, manifest, manifest.first, manifest.last), load_actions(data, manifest)
    labels = horizon_labels(bars, 5, delistings=actions)
    rows = np.searchsorted(labels.sessions, members.sessions)
    columns = [labels.symbols.index(symbol) for symbol in members.symbols]
    theirs = labels.values[np.ix_(rows, columns)]
    known = np.isfinite(members.label) & np.isfinite(theirs)
    assert known.sum() > 1000
    np.testing.assert_allclose(members.label[known], theirs[known], atol=1e-12)


def test_learned_weights_are_settings_that_a_device_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sleeves of equal strength: sleeves.yml holds positive weights that sum to one, and loads."""
    from trainer.stacking import run

    members = market((0.15, 0.15), seed=1)
    monkeypatch.setattr(run, "read_members", lambda *_: members)
    monkeypatch.setattr(run, "_record", lambda *_: None)
    monkeypatch.setattr(run, "_following", lambda *_: all_filled(members.label / 5))
    known = stack(asked((tmp_path, tmp_path), tmp_path, tmp_path / "stack"))
    assert known.promotable
    content = yaml.safe_load((tmp_path / "stack" / "sleeves.yml").read_text())
    weights = SleeveWeights.model_validate(content).weights
    config = ApplianceConfig.model_validate({"stores": {"data": "d", "bundles": "b"}, "sleeves": content})
    assert config.weights == weights
    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-5)


def test_runs_that_are_not_fold_consistent_are_refused(runs: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    def spoiled(name: str, change: dict[str, object]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for path in runs[1].glob("*.parquet"):
            (folder / path.name).write_bytes(path.read_bytes())
        evidence = json.loads((runs[1] / "evidence.json").read_text())
        evidence.update(change)
        (folder / "evidence.json").write_text(json.dumps(evidence))
        return folder

    cpcv = json.loads((runs[1] / "evidence.json").read_text())["cpcv"]
    other = spoiled("groups", {"cpcv": {**cpcv, "groups": 5}})
    with pytest.raises(FixInput, match="groups"):
        read_members((runs[0], other), data)
    with pytest.raises(FixInput, match="horizon"):
        read_members((runs[0], spoiled("k", {"horizon": 7})), data)
    with pytest.raises(FixInput, match="at least two"):
        read_members(runs[:1], data)
    with pytest.raises(FixInput, match="named twice"):
        read_members((runs[0], runs[0]), data)
    with pytest.raises(FixInput, match="cannot be read"):
        read_members((runs[0], tmp_path / "nowhere"), data)
    late = spoiled("late", {})
    table = pq.read_table(late / "oof.parquet")
    newest = max(table["session"].to_pylist())
    pq.write_table(table.filter(pa.compute.not_equal(table["session"], newest)), late / "oof.parquet")
    with pytest.raises(FixInput, match="labelled sessions differ"):
        read_members((runs[0], late), data)
    wrong = spoiled("wrong", {})
    labels = pa.compute.add(table["label"], 0.01)
    pq.write_table(table.set_column(table.schema.get_field_index("label"), "label", labels), wrong / "oof.parquet")
    with pytest.raises(FixInput, match="labels differ"):
        read_members((runs[0], wrong), data)


def test_the_command_says_why_a_stack_is_not_promotable(runs: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    answer = CliRunner().invoke(
        app, ["stack", "--runs", str(runs[0]), "--runs", str(runs[1]), "--data", str(data), "--to", str(tmp_path / "s")]
    )
    known = json.loads((tmp_path / "s" / "stack.json").read_text())
    assert answer.exit_code == (0 if known["promotable"] else 1), answer.output
    assert ("MISSED" in answer.output) != known["promotable"]
