"""`trainer policy` as a person types it: judged twice, refused with its power, on record; each further question is harder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from portfolio.policy.sizing import GRID, STATE
from signals.errors import FixInput
from signals.market.dataset import load_bars, read_manifest
from signals.scoring.shadow_logs import SizeDecision, SizeLog, drawn_level
from tests.fakes.curated import curate
from tests.fakes.run import run_folder
from tests.flow.test_pulled_scores import key_folder
from trainer.backtest import sizing as pipeline
from trainer.backtest.archive import open_archive
from trainer.commands import policies as command
from trainer.runs import looks
from trainer.runs.chain import read
from trainer.runs.run_folder import file_hash

WALKED = 44
DEVICE = "device-433"  # a seed by which every level is drawn in any nine sessions of those judged


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return curate(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    manifest = read_manifest(data)
    return run_folder(tmp_path_factory.mktemp("run") / "a", data, manifest.calendar.offset(manifest.last, -2), walked=WALKED, sealed=0)


def typed(*words: object, name: str = "policy") -> tuple[int, Mapping[str, Any]]:
    app = typer.Typer()
    command.register(app)
    done = CliRunner().invoke(app, [name, *(str(word) for word in words), "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, json.loads(done.stdout)


def drawn(data: Path, run: Path) -> SizeLog:
    """What a device drew in each walked session, of a book of four names under states that say nothing."""
    rng, archive, before, rows = np.random.default_rng(1), open_archive(data), 1.0, []
    for asof in sorted(set(pq.read_table(run / "walk_forward.parquet")["session"].to_pylist())):
        level, chance = drawn_level(DEVICE, asof, len(GRID))
        names, session = sorted(archive.rows.symbols_on(asof).values())[:4], archive.manifest.calendar.next(asof)
        kept = {"before": before, "multiplier": GRID[level], "propensity": chance, "seed": DEVICE}
        state = tuple(rng.normal(size=len(STATE)))
        rows.append(SizeDecision(asof=asof, session=session, state=state, book=dict.fromkeys(names, 0.2), **kept))
        before = GRID[level]
    return SizeLog(venue="alpaca", is_rehearsal=False, grid=GRID, names=STATE, decisions=tuple(rows))


def asked(data: Path, run: Path, to: Path, *more: object) -> tuple[int, Mapping[str, Any]]:
    return typed("--run", run, "--data", data, "--to", to, "--blocks", 2, *more)


def test_a_policy_is_judged_by_weights_and_by_orders_recorded_and_refused_with_its_power(data: Path, run: Path, tmp_path: Path) -> None:
    """Half of 44 sessions are judged: nothing can be seen in so few, and both verdicts say how little."""
    before = looks.Look(looks.POLICY, "equities_xs", "another question", "2024-01-02", "2024-06-28", "f" * 64)
    looks.record(data, before)
    (tmp_path / "draws.json").write_bytes(drawn(data, run).to_bytes())
    code, made = asked(data, run, tmp_path / "first", "--margin", 0.02, "--decisions", tmp_path / "draws.json")
    assert code == 1 and not made["is_accepted"]
    said = made["decisions"]
    assert (said["decisions"], said["sessions"], said["level"]) == (WALKED // 2, WALKED // 2, 0.975), "what the last block had not learned"
    assert said["effective_sample"] < 100 and f"the effective sample is {said['effective_sample']:.0f}, not 100 or more" in said["reasons"]
    assert made["replay"]["sessions"] == made["orders"]["sessions"] == WALKED // 2
    assert made["replay"]["margin"] == made["orders"]["margin"] == 0.02
    assert made["replay"]["gain"] != made["orders"]["gain"]
    assert made["values"]["names"] == [name for name in STATE if name != "shrunk_ic"], "one run's IC never varies: it teaches nothing"
    assert np.isfinite(made["values"]["coefficients"]).all()
    assert (made["tries"], made["replay"]["level"], made["orders"]["level"]) == (2, 0.975, 0.975), "they share one error"
    each = "the policy is not accepted: replay refused: .* of such histories; orders refused: .*; decisions refused: "
    with pytest.raises(FixInput, match=each):
        typed("--policy", tmp_path / "first", "--data", data, "--keys", tmp_path, "--to", tmp_path / "store", name="publish-policy")
    assert not (tmp_path / "store").exists()

    rows = [row for row in read(data / looks.LOOKS, fix="").records if row["command"] == looks.POLICY]
    assert [(row["model"], bool(row["made"])) for row in rows] == [
        ("another question", True),
        (made["trial"], False),
        (made["trial"], True),
    ]

    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    wished = {**json.loads((tmp_path / "first" / "policy.json").read_text())}
    for verdict in ("replay", "orders"):
        wished[verdict] = {**wished[verdict], "reasons": [], "bound": 0.03}
    (spoilt / "policy.json").write_text(json.dumps(wished))
    with pytest.raises(FixInput, match="no `trainer policy` with this dataset wrote this verdict"):
        typed("--policy", spoilt, "--data", data, "--keys", tmp_path, "--to", tmp_path / "store", name="publish-policy")


@pytest.mark.slow
def test_a_question_counts_from_before_it_is_judged_whoever_asks_at_once_and_once_where_its_process_dies(
    data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one is judged another is asked on the dataset next to it: it is one more; what died is asked again at no further charge."""
    (tmp_path / "us").mkdir()
    ours, theirs = (Path(shutil.copytree(data, tmp_path / "us" / name, ignore=shutil.ignore_patterns("looks*"))) for name in "ab")
    real, other = pipeline._by_orders, dict[str, Any]()

    def by_orders(request: pipeline.PolicyRequest, *rest: Any) -> Any:
        if request.seed == 1 and not other:
            other.update(asked(theirs, run, tmp_path / "other", "--seed", 2)[1])
            raise FixInput("the power went", fix="Start again")
        return real(request, *rest)

    monkeypatch.setattr(pipeline, "_by_orders", by_orders)
    with pytest.raises(FixInput, match="the power went"):
        asked(ours, run, tmp_path / "one", "--seed", 1)
    assert (other["tries"], other["orders"]["level"]) == (2, 0.975)
    assert not (tmp_path / "one").exists() and looks.wrote(ours, looks.POLICY) == frozenset()
    made = asked(ours, run, tmp_path / "one", "--seed", 1)[1]
    assert made["tries"] == 2 and len(looks.asked(theirs, looks.POLICY, "equities_xs")) == 2


def test_another_seed_and_a_log_that_is_left_out_again_are_further_questions(tmp_path: Path) -> None:
    """Whoever trains until a policy is accepted, or drops the log that refused one, pays for each try."""
    request: Any = SimpleNamespace(learner="fitted_q", seed=1, blocks=2, margin=0.0, settings=SimpleNamespace(fingerprint=lambda: "f" * 64))

    def trial(seed: int, decisions: Path | None) -> str:
        subject: Any = SimpleNamespace(evidence=SimpleNamespace(sleeve="equities_xs", config_hash="c" * 64, seed=seed))
        return pipeline.trial_hash(pipeline._question(request, subject, None if decisions is None else file_hash(decisions)))

    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    logs = (None, tmp_path / "a", tmp_path / "b")
    assert len({trial(seed, log) for seed in (1, 2) for log in logs}) == 6
    assert trial(1, None) == trial(1, None)


def test_what_cannot_be_judged_is_refused_before_anything_is_written(
    data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for more, why in (
        (("--learner", "q_table"), "no learner of policies 'q_table'"),
        (("--decisions", tmp_path / "none.json"), "a log of sizes cannot be read"),
        (("--decisions", tmp_path), "there is no log of sizes"),
    ):
        with pytest.raises(FixInput, match=why):
            asked(data, run, tmp_path / "x", *more)
    with monkeypatch.context() as flat, pytest.raises(FixInput, match="book is flat"):
        flat.setattr(pipeline.BacktestSubject, "ic", property(lambda self: type(self.evidence.sizing(""))(-0.01, -3.0, 20.0)))
        asked(data, run, tmp_path / "x")
    (tmp_path / "there").mkdir()
    with pytest.raises(FixInput, match="the folder exists"):
        asked(data, run, tmp_path / "there")
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_policy_that_knows_when_its_book_loses_is_accepted_by_weights_and_by_orders_and_signed(tmp_path: Path) -> None:
    """Ten sessions of scores that know the coming returns, ten of the same turned round, and so on; the book is held at once.

    They know the past month's returns too, turned round, so that the trend of the book's past says which they are.
    """
    data = curate(tmp_path / "market", sessions=430)
    manifest = read_manifest(data)
    run = run_folder(tmp_path / "a", data, manifest.calendar.offset(manifest.last, -8), walked=160, sealed=0)
    bars, table = load_bars(data, manifest, manifest.first, manifest.last), pq.read_table(run / "walk_forward.parquet")
    row, column = bars.sessions.searchsorted(table["session"].to_numpy()), np.searchsorted(bars.symbols, table["symbol"].to_numpy())
    coming = np.nan_to_num(bars.close[row + 2, column] / bars.open[row + 1, column] - 1.0)
    past = np.nan_to_num(bars.close[row, column] / bars.close[row - 20, column] - 1.0)
    known = np.where((row - row.min()) // 10 % 2, 1.0, -1.0) * (2.0 * coming - 0.5 * past)
    pq.write_table(table.set_column(2, "score", pa.array(known.astype(np.float32))), run / "walk_forward.parquet")
    (settings := tmp_path / "settings").mkdir()
    (settings / "portfolio.yml").write_text("step_sessions: 1\n")
    (settings / "execution.yml").write_text("{}\n")
    code, made = asked(data, run, tmp_path / "first", "--config", settings)
    assert (code, made["is_accepted"]) == (0, True), (made["replay"], made["orders"])
    for verdict in (made["replay"], made["orders"]):
        assert min(verdict["bound"], verdict["timing_bound"]) > verdict["margin"] and verdict["reasons"] == [] and verdict["sessions"] == 80
        assert verdict["drawdown"] < verdict["whole_drawdown"] and verdict["turnover"] < verdict["whole_turnover"]
    by_weights, by_orders = (made[name]["gain"] for name in ("replay", "orders"))
    assert by_weights == pytest.approx(by_orders, rel=0.3) and by_weights != by_orders, "two engines"
    keys = key_folder(tmp_path / "keys")
    code, signed = typed("--policy", tmp_path / "first", "--data", data, "--keys", keys, "--to", tmp_path / "store", name="publish-policy")
    assert (code, signed["seq"], signed["bound"]) == (0, 1, min(made["replay"]["bound"], made["orders"]["bound"]))
