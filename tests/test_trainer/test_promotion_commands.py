"""The life of a champion, as a person types it: refused and only evaluated, promoted, challenged, rolled back."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from signals.bundle import PublicKey
from signals.bundle.keyset import read_grant
from signals.errors import FixInput, TrademlError
from signals.files import sha256_of, write_atomic
from signals.scoring.shadow_logs import read_shadow_log
from tests.fakes.promoting import SLEEVE, Desk, Life, back, desk_of_a_market, failed, lived, shadowing
from trainer.backtest.subject import subject_of
from trainer.commands.promotion import _settings, waivers_of
from trainer.promotion import champions, history
from trainer.promotion.bars.config import read_bars
from trainer.promotion.history import CHAMPIONS, OPENINGS
from trainer.promotion.measure import open_holdout
from trainer.runs import looks
from trainer.runs.evidence import read_evidence
from trainer.runs.looks import LOOKS, Look
from trainer.runs.looks import record as looked
from trainer.runs.run_folder import canonical_json
from trainer.search import trial_log
from trainer.search.challenger import searched_under

UNSEALED = ["holdout", "DSR with the seal"]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return lived(desk_of_a_market(tmp_path_factory.mktemp("desk")))


def test_a_refusal_explains_itself_and_the_seal_stays_closed(life: Life) -> None:
    refused = life.answers["steep"]
    assert refused["verdict"] == "refused" and refused["version"] is None
    assert failed(refused) == ["net Sharpe", *UNSEALED]
    row = next(r for r in refused["rows"] if r["bar"] == "net Sharpe")
    assert row["limit"] == 50.0 and 1.0 < row["value"] < 50.0 and "is below 50" in row["why"]
    assert not (life.run("steep") / "promotion.json").exists()
    assert not (life.run("steep") / "promotion" / "holdout.parquet").exists()
    text = life.desk.said("promote", *life.desk.judging(life.run("steep"), "steep.yml"), exits=1)
    assert "FAIL  net Sharpe" in text and "pass  drawdown" in text and "REFUSED" in text


def test_a_refused_run_is_published_as_an_evaluation_that_carries_its_refusal(life: Life) -> None:
    manifest = life.manifest("steep published")
    assert manifest["role"] == "evaluation" and manifest["promotion"] is None
    assert manifest["refusal"].startswith("not promoted: net Sharpe: ") and "holdout" in manifest["refusal"]


def test_a_champion_is_published_with_its_record_and_nobody_else_is(life: Life) -> None:
    record = life.manifest("a published")["promotion"]["record"]
    assert record["version"] == "1.0.0" and record["why"] == "every bar is met" and record["number"] == 2
    assert life.manifest("c published")["promotion"]["record"]["version"] == life.answers["c"]["version"]
    (life.run("steep") / "promotion.json").write_bytes((life.run("a") / "promotion.json").read_bytes())
    for name in ("steep", "b", "c"):  # c was champion, until the rollback
        words = ["--run", str(life.run(name)), "--role", "champion", "--keys", life.desk.of("keys")]
        with pytest.raises(FixInput, match="not this run"):
            life.desk.call("publish", *words, "--to", life.desk.of("store"), "--registry", str(life.registry))
    (life.run("steep") / "promotion.json").unlink()


def test_a_first_champion_clears_every_bar_and_its_seal_is_opened_and_logged(life: Life) -> None:
    promoted = life.answers["a"]
    assert promoted["verdict"] == "promoted" and promoted["is_new"] and promoted["openings"] == 1
    holdout = next(r for r in promoted["rows"] if r["bar"] == "holdout")
    assert holdout["passed"] and holdout["value"] >= holdout["limit"]
    scored = pq.read_table(life.run("a") / "promotion" / "holdout.parquet")["session"].to_pylist()
    evidence = json.loads((life.run("a") / "evidence.json").read_bytes())["holdout"]
    assert (str(min(scored)), str(max(scored))) == (evidence["first"], evidence["last"])


def test_promoting_the_champion_again_records_nothing(life: Life) -> None:
    again = life.answers["a again"]
    assert not again["is_new"] and again["number"] == life.answers["a"]["number"]


def test_the_champion_s_model_on_other_evidence_is_another_challenger(life: Life, tmp_path: Path) -> None:
    """The same ONNX file after more trials is not published as champion, and is judged, not waved through, where a training wrote it."""
    run, data = life.copied("a", tmp_path), tmp_path / "curated"
    shutil.copytree(life.desk.of("curated"), data)
    evidence = json.loads((run / "evidence.json").read_bytes())
    write_atomic(run / "evidence.json", canonical_json({**evidence, "trials": {**evidence["trials"], "dsr": 0.589}}))
    assert (run / "model.onnx").read_bytes() == (life.run("a") / "model.onnx").read_bytes()
    registry = life.copied_registry(tmp_path)
    words = ["--run", str(run), "--role", "champion", "--keys", life.desk.of("keys"), "--to", str(tmp_path / "store")]
    with pytest.raises(FixInput, match="the model is the same, the evidence that it was judged on is not"):
        life.desk.call("publish", *words, "--registry", registry)
    with pytest.raises(FixInput, match="not what its training wrote"):
        life.desk.promote(run, "--registry", registry, "--data", str(data), exits=1)
    made = looks.made({name: (run / name).read_bytes() for name in looks.JUDGED})
    looked(data, Look("train", SLEEVE, sha256_of((run / "model.onnx").read_bytes()), "2024-01-02", "2024-06-28", made))
    judged = life.desk.promote(run, "--registry", registry, "--data", str(data), exits=1)
    assert judged["is_new"] and judged["evidence_sha256"] == sha256_of((run / "evidence.json").read_bytes())


def test_a_record_from_before_evidence_was_hashed_is_compared_through_its_case(life: Life, tmp_path: Path) -> None:
    registry = Path(life.copied_registry(tmp_path))
    known = history.read(registry / CHAMPIONS).records
    for name in (CHAMPIONS, f"{CHAMPIONS}.head"):
        (registry / name).unlink()
    for record in known:
        older = {key: value for key, value in record.items() if key not in ("number", "previous", "evidence_sha256")}
        history.append(registry / CHAMPIONS, older)
    assert champions.confirm(registry, life.run("a"))["version"] == "1.0.0"
    run = life.copied("a", tmp_path)
    write_atomic(run / "evidence.json", canonical_json({"sleeve": SLEEVE}))
    with pytest.raises(FixInput, match="not this run"):
        champions.confirm(registry, run)


def test_a_challenger_without_a_shadow_is_told_to_make_one(life: Life) -> None:
    assert "shadow" in failed(life.answers["b unseen"])


def test_the_shadow_reports_its_profit_and_never_calls_it_skill(life: Life) -> None:
    found = life.answers["b shadow"]
    assert found["sessions"] >= 20 and found["faults"] == 0 and found["band_low"] <= found["ic"] <= found["band_high"]
    assert set(found["profit"]) == {"sessions", "net_return", "annual_sharpe", "turnover_annual", "cost_annual"}
    assert found["interval"]["values"] == -(-found["sessions"] // 5) and found["interval"]["low"] < found["ic"]
    evidence = json.loads((life.run("b") / "evidence.json").read_bytes())
    assert found["first"] > evidence["last_label_session"]
    assert found["recorded"]["venues"] == ["alpaca-paper"] and found["recorded"]["lowest_agreement"] > 1.0 - 1e-9
    text = life.desk.said("shadow", *shadowing(life.desk, life.run("b")), "--recorded", life.desk.of("shadow-b.json"))
    assert "no evidence of skill" in text and "At all times with 95%" in text and "Recorded on alpaca-paper" in text


def test_a_model_that_is_asked_afterwards_has_no_shadow(life: Life, tmp_path: Path) -> None:
    """The same scores to the last digit, but no device wrote them down."""
    run = life.copied("b", tmp_path)
    recorded = (run / "promotion" / "shadow.json").read_bytes()
    asked = life.desk.call("shadow", *shadowing(life.desk, run))
    assert (run / "promotion" / "shadow.json").read_bytes() == recorded, "what a device recorded stays"
    (run / "promotion" / "watch.json").rename(run / "promotion" / "shadow.json")
    assert asked["recorded"] is None and asked["ic"] == life.answers["b shadow"]["ic"]
    with pytest.raises(FixInput, match="no `trainer shadow --recorded` with this dataset wrote this record"):
        life.desk.promote(run, "--registry", life.copied_registry(tmp_path), exits=1)


def test_a_shadow_record_that_was_changed_by_hand_is_not_believed(life: Life, tmp_path: Path) -> None:
    run = life.copied("b", tmp_path)
    path = run / "promotion" / "shadow.json"
    write_atomic(path, canonical_json({**json.loads(path.read_bytes()), "sessions": 400}))
    with pytest.raises(FixInput, match="no `trainer shadow --recorded` with this dataset wrote this record"):
        life.desk.promote(run, "--registry", life.copied_registry(tmp_path), exits=1)


def test_measured_figures_that_were_changed_by_hand_are_measured_again(life: Life, tmp_path: Path) -> None:
    run = life.copied("steep", tmp_path)
    path = run / "promotion" / "measured.json"
    was = path.read_bytes()
    forged = json.loads(was)
    forged["walk_forward"]["net"]["annual_sharpe"] = 99.0
    write_atomic(path, canonical_json(forged))
    again = life.desk.promote(run, "--registry", life.copied_registry(tmp_path), bars="steep.yml", exits=1)
    assert "net Sharpe" in failed(again) and path.read_bytes() == was


def test_what_a_bundle_says_of_a_promotion_is_the_registrys_and_not_a_file_s(life: Life, tmp_path: Path) -> None:
    """A version written by hand into the champion's permission is gone before it can be signed."""
    run = life.copied("a", tmp_path)
    permission = json.loads((run / "promotion.json").read_bytes())
    write_atomic(run / "promotion.json", canonical_json({**permission, "record": {**permission["record"], "version": "9.0.0"}}))
    champions.confirm(life.registry, run)
    assert json.loads((run / "promotion.json").read_bytes())["record"]["version"] == "1.0.0"


def test_a_champions_case_that_was_changed_is_compared_with_nobody(life: Life, tmp_path: Path) -> None:
    """A champion made worse by hand would be easy to beat."""
    registry = Path(life.copied_registry(tmp_path))
    now = history.champion(history.read(registry / CHAMPIONS), SLEEVE)
    assert now is not None
    path = history.case_path(registry, now["case_sha256"])
    case = json.loads(path.read_bytes())
    case["measured"]["walk_forward"]["series"]["net"] = [-0.01] * len(case["measured"]["walk_forward"]["series"]["net"])
    write_atomic(path, canonical_json(case))
    with pytest.raises(FixInput, match="a case was removed or changed"):
        life.desk.promote(life.run("b"), "--registry", str(registry), exits=1)


def test_a_record_that_was_tampered_with_is_full_of_faults(life: Life, tmp_path: Path) -> None:
    """Scores turned round rank otherwise than the model does; an evening taken out is missed."""
    run = life.copied("c", tmp_path)
    log = read_shadow_log(Path(life.desk.of("shadow-c.json")).read_bytes(), where="")
    turned = log.evenings[1].model_copy(update={"scores": {s: -v for s, v in log.evenings[1].scores.items()}})
    wide = log.evenings[3].model_copy(update={"scores": {s: 2.0 * v for s, v in log.evenings[3].scores.items()}})
    names = list(log.evenings[4].scores.items())
    few = dict(names[: len(names) * 9 // 10])
    fewer = log.evenings[4].model_copy(update={"scores": few})
    changed = log.model_copy(update={"evenings": (log.evenings[0], turned, wide, fewer, *log.evenings[5:])})
    write_atomic(tmp_path / "log.json", changed.to_bytes())
    found = life.desk.call("shadow", *shadowing(life.desk, run), "--recorded", str(tmp_path / "log.json"))
    assert found["faults"] == 4 and "rank otherwise" in found["reasons"][0] and "no device" in found["reasons"][1]
    assert "deviations from this model's own" in found["reasons"][2], "the same order, twice the scores"
    assert f"{len(few)} names are among" in found["reasons"][3]
    assert found["reasons"][0].startswith(str(log.evenings[1].asof))


def test_a_challenger_that_is_worse_leaves_the_champion_where_it_is(life: Life) -> None:
    assert failed(life.answers["b"]) == ["champion", *UNSEALED]
    assert life.answers["b"]["instead_of"] == "1.0.0" and not (life.run("b") / "promotion.json").exists()


def test_a_challenger_that_holds_up_becomes_the_next_version(life: Life) -> None:
    """Not worse, not proven better: a person's word. A minor version where the recipes differ, else a patch."""
    silent, won = life.answers["c silent"], life.answers["c"]
    assert failed(silent) == ["champion", *UNSEALED] and "--replace-for" in silent["why"]
    row = next(r for r in won["rows"] if r["bar"] == "champion")
    assert row["passed"] and "by the word of A. Person: it knows thirty sessions more" in row["why"]
    assert won["word"]["reason"] == "age" and "a true gain of 0.3 a year is seen with" in row["power"]
    assert won["verdict"] == "promoted" and won["instead_of"] == "1.0.0" and won["version"] in ("1.0.1", "1.1.0")
    assert won["openings"] == 2


def test_a_seal_whose_result_was_not_kept_session_by_session_is_opened_again_and_counts(life: Life, tmp_path: Path) -> None:
    """As an earlier program wrote it: the figures only."""
    for record in history.read(life.registry / OPENINGS).records[:2]:
        kept = {key: value for key, value in record.items() if key not in ("previous", "number")}
        if kept["kind"] == "result":
            kept["result"] = {key: value for key, value in kept["result"].items() if key != "series"}
        history.append(tmp_path / OPENINGS, kept)
    sealed = json.loads((life.run("a") / "evidence.json").read_bytes())["holdout"]
    data = Path(life.desk.of("curated"))
    known = (data / LOOKS).read_bytes(), (data / f"{LOOKS}.head").read_bytes()
    looked(data, Look("backtest", SLEEVE, "f" * 64, sealed["last"], sealed["last"]))  # a person looked at one session
    again = life.desk.call("promote", *life.desk.judging(life.run("a")), "--registry", str(tmp_path))
    assert again["openings"] == 2
    told = next(row for row in again["rows"] if row["bar"] == "holdout")
    (data / LOOKS).write_bytes(known[0])
    (data / f"{LOOKS}.head").write_bytes(known[1])
    assert told["passed"] and "seen 4 times before" in told["why"] and 2.0 < told["limit"] < 3.0
    assert history.read(tmp_path / OPENINGS).records[-1]["looks"] == 3, "b and c have shown what was sealed for a"


def test_every_command_that_shows_results_writes_down_on_which_sessions(life: Life) -> None:
    """Trainings what they left open, shadows what came after: no challenger's own seal was looked at."""
    rows = history.read(Path(life.desk.of("curated")) / LOOKS).records
    known = [one for one in rows if one["command"] != "promote" and (one["command"] == "train" or not one["made"])]
    assert [one["command"] for one in known] == ["train", "train", "train", "shadow", "train", "shadow"]
    assert {one["command"] for one in rows if one["made"]} == {"train", "shadow", "promote"}, "what each wrote is named by its hash"
    for name in ("a", "b", "c"):
        evidence = json.loads((life.run(name) / "evidence.json").read_bytes())
        own = [one for one in known if one["model"] in evidence["calibration"]["fitted_for"]["model_sha256"]]
        by = {one["command"]: one for one in own}
        assert by["train"]["last"] < evidence["holdout"]["first"]
        assert name == "a" or by["shadow"]["first"] > evidence["last_label_session"]


def test_a_seal_is_opened_once_per_challenger(life: Life) -> None:
    """Judged again next to the next champion, `a` shows what its seal showed then."""
    first, later = (next(r for r in life.answers[name]["rows"] if r["bar"] == "holdout") for name in ("a", "a later"))
    assert failed(life.answers["a later"]) == ["champion", "shadow"] and later["value"] == first["value"]
    opened = history.read(life.registry / OPENINGS).records
    assert [(r["kind"], r["run"]) for r in opened] == [("opened", "a"), ("result", "a"), ("opened", "c"), ("result", "c")]


def test_the_history_says_who_was_champion_and_why(life: Life) -> None:
    records = life.desk.call("history", "--registry", str(life.registry), "--verify")
    told = [(r["event"], r["run"], r["version"]) for r in records["records"]][:8]
    assert told[:5] == [("refused", "steep", None), ("promoted", "a", "1.0.0"), *[("refused", "b", None)] * 2, ("refused", "c", None)]
    assert told[5:] == [("promoted", "c", life.answers["c"]["version"]), ("refused", "a", None), ("rolled_back", "a", "1.0.0")]
    assert records["records"][7]["why"] == "it lost money live" and records["openings"] == 2
    assert records["verified"]["records"] == len(records["records"])
    then = life.desk.call("history", "--registry", str(life.registry), "--at", "2020-01-01")
    assert then["champions"] == {SLEEVE: None}
    assert f"{SLEEVE}: 1.0.0 of a" in life.desk.said("history", "--registry", str(life.registry), "--at", "2099-01-01")


def test_a_rollback_signs_the_grant_that_devices_accept(life: Life) -> None:
    root = PublicKey.from_text((life.desk.folder / "keys" / "root.pub").read_text())
    grant = read_grant((life.desk.folder / "grant").read_bytes(), [root])
    assert (grant.seq, grant.bundle_id) == (2, life.answers["a published"]["bundle_id"])
    assert grant.high_water_seq == life.answers["c published"]["seq"] == 5, "one sequence for all roles: two shadows came between"
    assert grant.reason == "it lost money live" == life.answers["back"]["why"]


@pytest.mark.parametrize(
    ("version", "reason", "more", "told"),
    [
        ("1.0.0", "x", [], "is the champion"),
        ("9.9.9", "x", [], "never had"),
        ("1.0.1", "  ", [], "needs a reason"),
        ("1.0.1", "x", ["--to", "grant"], "needs all of"),
    ],
)
def test_a_rollback_that_cannot_be_writes_nothing(life: Life, version: str, reason: str, more: list[str], told: str) -> None:
    before = (life.registry / CHAMPIONS).read_bytes()
    with pytest.raises(FixInput, match=told):
        life.desk.call("rollback", *back(life.desk, version, reason), *more)
    assert (life.registry / CHAMPIONS).read_bytes() == before


def test_mlflow_mirrors_the_champion_of_now(life: Life) -> None:
    from trainer.promotion import mlflow_mirror

    client = mlflow_mirror.client(mlflow_mirror.default_uri(life.registry))
    assert client.get_model_version_by_alias(SLEEVE, "champion").tags["trained_as"] == "a"


def test_other_bars_than_those_of_the_training_are_refused(life: Life, tmp_path: Path) -> None:
    refused = life.desk.call("promote", *life.desk.judging(life.run("a"), "steep.yml"), "--registry", str(tmp_path), exits=1)
    assert "bars" in failed(refused)


def test_a_history_that_was_tampered_with_is_never_acted_on(life: Life, tmp_path: Path) -> None:
    copy = tmp_path / "registry"
    copy.mkdir()
    whole = (life.registry / CHAMPIONS).read_bytes()
    (copy / f"{CHAMPIONS}.head").write_bytes((life.registry / f"{CHAMPIONS}.head").read_bytes())
    (copy / CHAMPIONS).write_bytes(whole.replace(b'"event":"refused"', b'"event":"promoted"', 1))
    for words in (["history", "--verify"], ["promote", *life.desk.judging(life.run("b"))[:4]]):
        with pytest.raises(TrademlError, match="removed, changed or put in|cut or replaced"):  # noqa: RUF043
            life.desk.call(*words, "--registry", str(copy))
    (copy / CHAMPIONS).write_bytes(whole)
    with pytest.raises(FixInput, match="a case was removed or changed"):
        life.desk.call("history", "--verify", "--registry", str(copy))


def test_a_run_that_changed_after_its_training_is_not_opened(life: Life, tmp_path: Path) -> None:
    """The model before the holdout is fitted again, and must be the stored one to the byte."""
    run = life.copied("a", tmp_path)
    (run / "model_before_holdout.txt").write_bytes((life.run("c") / "model_before_holdout.txt").read_bytes())
    data = Path(life.desk.of("curated"))
    with pytest.raises(FixInput, match="cannot be fitted again as it was"):
        open_holdout(subject_of(run, data), data, _settings(None, 1e6))


def test_waivers_stand_in_the_record(life: Life) -> None:
    known = [
        {"bar": "long embargo", "by": "Ada", "reason": "a market of 620 sessions"},
        {"bar": "leak", "by": "Ada", "reason": "the signal is planted, at many times an honest strength"},
    ]
    assert life.answers["a"]["waivers"] == known
    told = next(row for row in life.answers["a"]["rows"] if row["bar"] == "long embargo")
    assert told["passed"] and told["why"].startswith("waived by Ada: a market of 620 sessions")
    plain = waivers_of(["large caps: stated", "leak: two vendors agree"], " Ada ")
    assert [(w.bar, w.by, w.reason) for w in plain] == [("universe", "Ada", "large caps: stated"), ("leak", "Ada", "two vendors agree")]


def test_a_fixed_ic_is_for_rehearsals(life: Life) -> None:
    (life.desk.folder / "fixed.yml").write_text("fixed_ic: 0.05\n")
    with pytest.raises(FixInput, match="fixed IC"):
        life.desk.promote(life.run("steep"), "--portfolio", life.desk.of("fixed.yml"))


def test_an_interrupted_promotion_is_finished_by_promoting_again(life: Life) -> None:
    """The history said who is champion; the permission had not been written."""
    (life.run("a") / "promotion.json").unlink()
    before = (life.registry / CHAMPIONS).read_bytes()
    again = life.desk.promote(life.run("a"))
    assert not again["is_new"] and (life.registry / CHAMPIONS).read_bytes() == before
    permission = json.loads((life.run("a") / "promotion.json").read_bytes())
    assert permission["record"]["event"] == "rolled_back" and permission["verdict"] == "promoted"


def test_an_opening_that_was_interrupted_counts(life: Life, tmp_path: Path) -> None:
    first = history.read(life.registry / OPENINGS).records[0]
    history.append(tmp_path / OPENINGS, {key: value for key, value in first.items() if key not in ("previous", "number")})
    again = life.desk.call("promote", *life.desk.judging(life.run("a")), "--registry", str(tmp_path))
    assert again["openings"] == 2
    assert "seen 3 times before" in next(row["why"] for row in again["rows"] if row["bar"] == "holdout")
    assert [r["kind"] for r in history.read(tmp_path / OPENINGS).records] == ["opened", "opened", "result"]


def test_a_seal_is_not_opened_again_for_another_book(life: Life) -> None:
    with pytest.raises(FixInput, match="other portfolio settings"):
        life.desk.promote(life.run("c"), "--equity", "250000")


def test_the_search_of_a_run_must_have_begun_under_the_bars_of_its_training(life: Life, tmp_path: Path) -> None:
    evidence = read_evidence(life.run("a"))
    history, bars = trial_log.known(Path(life.desk.of("curated"))), evidence.promotion_bars
    assert bars == read_bars(Path(life.desk.of("bars.yml"))).fingerprint()

    def under(**changes: Any) -> tuple[str, ...]:
        return searched_under(history, life.challenger(replace(evidence, **changes), tmp_path))

    assert under() == (bars,)
    assert under(promotion_bars="y") == tuple(sorted((bars, "y")))
    unnamed = replace(evidence.trials, study=None)  # the recipe's search was taken out of it: the trial is still its
    assert under(trials=unnamed) == (bars,) and under(trials=unnamed, promotion_bars="y") == tuple(sorted((bars, "y")))


def test_a_run_whose_trials_are_on_no_record_is_not_judged(life: Life, tmp_path: Path) -> None:
    """The dataset ingested again, or its record taken away: the evidence names a line that is not there."""
    data = shutil.copytree(life.desk.of("curated"), tmp_path / "curated", ignore=shutil.ignore_patterns("trials.jsonl*"))
    words = ["--run", str(life.run("b")), "--data", str(data), "--bars", life.desk.of("bars.yml")]
    with pytest.raises(FixInput, match="not on record next to this dataset"):
        life.desk.call("promote", *words, "--registry", str(tmp_path / "registry"))
    assert not (tmp_path / "registry" / CHAMPIONS).exists()
    kept = life.desk.call("promote", *words, "--registry", life.copied_registry(tmp_path / "kept"), exits=1)
    assert kept["verdict"] == "refused"  # the registry has seen them: they are on its record


@pytest.mark.slow
def test_a_judged_book_is_on_record_and_another_setting_of_it_is_another_trial(life: Life, tmp_path: Path) -> None:
    """`steep` was refused and `a` promoted: both books are there, and count as the trainings that they are of."""
    desk = Desk(tmp_path, life.desk.ends)
    for name in ("curated", "registry"):
        shutil.copytree(life.desk.of(name), tmp_path / name)
    books = [s.identity for s in trial_log.read(tmp_path / "curated").studies.values() if s.identity.get("command") == "judged"]
    evidence = {name: json.loads((life.run(name) / "evidence.json").read_bytes()) for name in ("steep", "a", "b", "c")}
    assert {book["trial"] for book in books} == {known["trials"]["trial"] for known in evidence.values()}
    steep = ["--run", str(life.run("steep")), "--bars", life.desk.of("steep.yml"), "--data", desk.of("curated")]

    def counted(*more: str) -> int:
        found = desk.call("promote", *steep, "--registry", desk.of("registry"), *more, exits=1)
        case = json.loads(history.case_path(tmp_path / "registry", found["case_sha256"]).read_bytes())
        assert case["champion"]["measure"].endswith(case["measured"]["settings"]), "both books are held under the settings asked for"
        return int(case["trials"]["n_trials"])

    before = counted()
    assert before >= 5  # two searched, one of them trained; steep, b and c; books that other tests had judged
    assert counted("--equity", "250000") == before + 1 == counted("--equity", "250000")


def test_a_refusal_names_the_trials_on_record_when_it_was_judged(life: Life) -> None:
    """`a` was the best of two and steep when it was promoted, and of five when it was judged again."""
    first, later = (next(r for r in life.answers[n]["rows"] if r["bar"] == "DSR")["why"] for n in ("a", "a later"))
    assert "over 3 trials" in first and "over 5 trials" in later


@pytest.mark.slow
def test_a_run_of_an_older_version_brings_its_own_trials(life: Life, tmp_path: Path) -> None:
    """Its folder holds them without an anchor, and its evidence names their last line; one that was cut is refused."""
    run, data = life.copied("a", tmp_path), tmp_path / "curated"
    shutil.copytree(life.desk.of("curated"), data, ignore=shutil.ignore_patterns("trials.jsonl*", "looks.jsonl*"))
    whole = Path(life.desk.of("curated")) / "trials.jsonl"
    known = json.loads((run / "evidence.json").read_bytes())
    lines = whole.read_bytes().splitlines(keepends=True)
    place = next(n for n, line in enumerate(lines, 1) if sha256_of(line[:-1]) == known["trials"]["chain"]["head"])
    (run / "trials.jsonl").write_bytes(b"".join(lines[:place]))
    write_atomic(run / "evidence.json", canonical_json({**known, "trials": {k: v for k, v in known["trials"].items() if k != "trial"}}))
    words = [*life.desk.judging(run), "--data", str(data)]
    judged = life.desk.call("promote", *words, "--registry", str(tmp_path / "registry"))
    assert judged["verdict"] == "promoted" and (data / "trials.jsonl.head").exists()
    (run / "trials.jsonl").write_bytes(b"".join(lines[: place - 1]))
    for path in data.glob("trials.jsonl*"):
        path.unlink()
    with pytest.raises(FixInput, match="not on record"):
        life.desk.call("promote", *words, "--registry", str(tmp_path / "another"))
