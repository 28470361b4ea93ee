"""Each bad input: one clear error, its exit code, and nothing half-written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import numpy as np
import pytest

from signals import errors
from signals.bundle import Golden
from signals.market.sessions import SessionStatus
from tests.fakes import bundles, store
from tests.fakes.device import Done, Workbench
from tests.fakes.store import Published, publish_bundle, recipe, republish

Make = Callable[..., Workbench]


CLASSES = [name for name, kind in vars(errors).items() if isinstance(kind, type) and len(name) > 6]


def one_line(done: Done, code: int, *words: str) -> None:
    """Exactly one line of error with these words, the exit code, no traceback and no class of the program."""
    assert done.code == code, (done.out, done.err)
    lines = [line for line in done.err.splitlines() if line]
    assert len(lines) == 1, done.err
    assert all(word in lines[0] for word in words), lines[0]
    assert not any(name in lines[0] for name in CLASSES), lines[0]
    assert "Traceback" not in done.out + done.err


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".sqlite-shm", ".sqlite-wal", ".db-shm", ".db-wal")
    }


@pytest.fixture
def bench(make: Make, own_store: Published) -> Workbench:
    return make(own_store)


@pytest.mark.parametrize(
    ("session", "words"),
    [
        ("2025-06-07", ("2025-06-07 is not a session", "2025-06-09")),
        ("2025-07-02", ("is in the future", "ends 2025-06-30")),
        ("2040-01-03", ("past the end of the calendar")),
        ("soon", ("'soon' is not a date", "YYYY-MM-DD")),
    ],
)
@pytest.mark.parametrize("command", ["pull", "plan", "trade", "run-day"])
def test_a_session_that_is_none_or_lies_ahead(bench: Workbench, command: str, session: str, words: tuple[str, ...]) -> None:
    before = bench.tables()
    one_line(bench(command, "--session", session), 2, *words)
    assert bench.tables() == before


def test_a_halted_device_asked_to_trade(bench: Workbench, own_store: Published) -> None:
    day = str(own_store.sessions(1)[0])
    one_line(bench("run-day", "--session", day), 4, "appliance arm")
    for command in ("pull", "score", "reconcile", "plan"):
        assert bench(command, "--session", day).code == 0
    one_line(bench("trade", "--session", day), 4, "nothing is wrong", "appliance arm")
    assert bench.rows("SELECT count(*) FROM intents WHERE posts > 0") == [(0,)]
    assert bench.rows("SELECT count(*) FROM job_runs WHERE job = 'trade'") == [(0,)]


def test_a_job_before_the_one_it_needs(bench: Workbench, own_store: Published) -> None:
    day = str(own_store.sessions(1)[0])
    one_line(bench("plan", "--session", day), 2, "plan comes after score", f"appliance score --session {day}")


def test_a_window_that_has_passed_is_not_traded(bench: Workbench, own_store: Published) -> None:
    first, second = map(str, own_store.sessions(2))
    assert bench("arm", "--session", second, "--yes").code == 0
    assert bench("run-day", "--session", second).code == 0
    one_line(bench("pull", "--session", first), 2, "the window of pull", "never traded")


@pytest.mark.parametrize("victim", ["model.onnx", "manifest.json", "drift.json"])
def test_a_tampered_bundle_is_refused_and_nothing_is_in_force(bench: Workbench, own_store: Published, victim: str) -> None:
    path = next((own_store.bundles).glob(f"*/{victim}"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    one_line(bench("pull", "--session", str(own_store.sessions(1)[0])), 6)
    assert not (bench.state / "bundles" / "equities_xs" / "current.json").exists()
    assert not (bench.state / "incoming").exists()


def test_an_unsigned_bundle_is_refused(bench: Workbench, own_store: Published) -> None:
    folder = next((own_store.bundles).glob("1-*"))
    (folder / "manifest.sig").unlink()
    latest = own_store.bundles / "latest.json"
    row = json.loads(latest.read_text())
    latest.write_text(json.dumps({**row, "files": [name for name in row["files"] if name != "manifest.sig"]}))
    one_line(bench("pull", "--session", str(own_store.sessions(1)[0])), 6, "unsigned")


def test_a_refused_newer_bundle_leaves_the_old_one_in_force_and_tells_a_person(bench: Workbench, own_store: Published) -> None:
    first, second = own_store.sessions(2)
    assert bench("arm", "--session", str(first), "--yes").code == 0
    assert bench("run-day", "--session", str(first)).code == 0
    pointer = (bench.state / "bundles" / "equities_xs" / "current.json").read_bytes()
    name = publish_bundle(own_store.root, recipe(own_store.root / "data", own_store.last_training, seq=2))
    (own_store.bundles / name / "model.onnx").write_bytes(store.rank_model()[:-1] + b"\x00")
    done = bench("run-day", "--session", str(second), "--json")
    assert done.code == 0
    assert "its SHA-256 differs" in done.json["jobs"][0]["figures"]["bundle_refusal"]
    assert (bench.state / "bundles" / "equities_xs" / "current.json").read_bytes() == pointer
    assert ("the equities_xs bundle is refused",) in bench.rows("SELECT title FROM alerts")


def test_a_bundle_with_a_missing_feature_is_refused(bench: Workbench, own_store: Published) -> None:
    shutil.rmtree(own_store.bundles)
    whole = recipe(own_store.root / "data", own_store.last_training)
    fewer = Golden.of_scores(whole.golden.inputs["features"][:, :-1], whole.golden.outputs["score"][:, 0])
    publish_bundle(own_store.root, whole.but(spec=whole.spec[:-1], golden=fewer))
    done = bench("pull", "--session", str(own_store.sessions(1)[0]))
    one_line(done, 6, "its features are not this device's")


def test_scores_that_are_not_numbers_skip_the_session(make: Make, own_store: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that passed its golden vectors and then gives NaN on the day's rows."""
    bench, day = make(own_store), str(own_store.sessions(1)[0])
    assert bench("pull", "--session", day).code == 0
    monkeypatch.setattr("appliance.jobs.score.infer", lambda members, inputs: {"score": np.full((len(inputs["features"]), 1), np.nan)})
    done = bench("score", "--session", day)
    assert done.code == 3 and "not finite" in done.out
    assert bench.rows("SELECT count(*) FROM scores") == [(0,)]
    assert bench.rows("SELECT tripped, action FROM tripwires WHERE name = 'SCORES_INVALID'") == [(1, "skip")]
    assert bench("reconcile", "--session", day).code == 0
    skipped = bench("plan", "--session", day)
    assert skipped.code == 3 and "score was skipped" in skipped.out
    assert bench.rows("SELECT count(*) FROM plans") == [(0,)]


def test_red_data_skip_the_session_and_three_in_a_row_halt_the_device(make: Make, own_store: Published) -> None:
    days = own_store.sessions(4)
    red = [own_store.manifest.calendar.previous(day) for day in days[1:]]
    republish(own_store, *red, SessionStatus.RED)
    bench = make(own_store)
    assert bench("arm", "--session", str(days[0]), "--yes").code == 0
    assert bench("run-day", "--session", str(days[0])).code == 0
    for day in days[1:3]:
        done = bench("run-day", "--session", str(day), "--json")
        assert done.code == 3
        by_job = {job["job"]: job for job in done.json["jobs"]}
        assert "DATA_NOT_USABLE" in by_job["score"]["summary"]
        assert [by_job[name]["status"] for name in ("plan", "trade", "confirm")] == ["skipped"] * 3
        assert [by_job[name]["status"] for name in ("reconcile_close", "report")] == ["done"] * 2
        assert bench("status").code == 1
    bench("run-day", "--session", str(days[3]))
    status = bench("status", "--json")
    assert status.code == 2 and "SKIPS_IN_A_ROW" in status.json["latch"]
    assert bench.rows("SELECT count(*) FROM plans") == [(1,)]
    one_line(bench("run-day", "--session", str(days[3])), 4, "rearm")


def test_a_dataset_file_that_was_changed_is_not_taken_over(bench: Workbench, own_store: Published) -> None:
    path = sorted((own_store.root / "data" / "bars").iterdir())[-1]
    path.write_bytes(path.read_bytes()[:-100])
    done = bench("pull", "--session", str(own_store.sessions(1)[0]))
    one_line(done, 2, "not what the manifest vouches for", path.name)
    assert not (bench.state / "incoming").exists()


def test_a_store_that_is_not_there(bench: Workbench, own_store: Published) -> None:
    day = str(own_store.sessions(1)[0])
    (own_store.root / "data").rename(own_store.root / "gone")
    one_line(bench("pull", "--session", day), 5, "config.yml")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("surprise: 1", ("surprise", "Known keys", "tripwires")),
        ("require_green: perhaps", ("require_green",)),
        ("venue: {broker: alpaca-live}", ("venue.broker",)),
    ],
)
def test_a_wrong_key_or_value_in_the_configuration(bench: Workbench, line: str, words: tuple[str, ...]) -> None:
    config = bench.state / "config.yml"
    kept = [row for row in config.read_text().splitlines() if not row.startswith(line.split(":")[0] + ":")]
    if line.startswith("venue"):
        kept = kept[: next(i for i, row in enumerate(kept) if row.startswith("  broker"))] + [
            row for row in kept if row and not row.startswith("  ")
        ]
    config.write_text("\n".join([*kept, line]) + "\n")
    done = bench("pull", "--session", "2025-06-02")
    one_line(done, 2, *words)


def test_a_paper_account_without_credentials_never_becomes_another_venue(bench: Workbench) -> None:
    config = bench.state / "config.yml"
    config.write_text(config.read_text().replace("broker: exchange", "broker: alpaca-paper"))
    one_line(bench("reconcile", "--session", "2025-06-02"), 2, "credentials")


def test_an_exchange_that_is_down(bench: Workbench) -> None:
    config = bench.state / "config.yml"
    config.write_text(config.read_text().replace("url: ''", "url: http://127.0.0.1:9"))
    one_line(bench("reconcile", "--session", "2025-06-02"), 5, "paper-exchange serve")


def test_a_ledger_of_a_newer_schema(bench: Workbench) -> None:
    ledger = apsw.Connection(str(bench.state / "ledger.sqlite"))
    ledger.execute("UPDATE meta SET value = '99' WHERE key IN ('schema_version', 'usable_since')")
    ledger.close()
    one_line(bench("pull", "--session", "2025-06-02"), 4, "schema 99")
    assert bench("status").code == 3


def test_a_folder_that_is_no_device(tmp_path: Path) -> None:
    nowhere = Workbench(tmp_path / "nowhere")
    one_line(nowhere("pull", "--session", "2025-06-02"), 2, "appliance init")
    assert nowhere("status").code == 3
    assert not nowhere.state.exists()


def test_initialising_twice_or_without_what_it_needs_writes_nothing(bench: Workbench, own_store: Published, tmp_path: Path) -> None:
    before = files(bench.state)
    again = ("init", "--venue", "exchange", "--store", str(own_store.root))
    one_line(bench(*again, "--trust", str(own_store.trust)), 2, "already holds a device")
    assert files(bench.state) == before
    other = Workbench(tmp_path / "other")
    one_line(other(*again, "--trust", str(tmp_path / "no.pub")), 2, "root key cannot be read", "trainer keys")
    empty = ("init", "--venue", "exchange", "--store", str(tmp_path / "empty"), "--trust", str(own_store.trust))
    one_line(other(*empty), 5)
    assert not other.state.exists()


def test_a_store_that_another_root_signed_makes_no_device(own_store: Published, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.pub"
    stranger.write_text(bundles.public_half(bundles.STRANGER).text)
    bench = Workbench(tmp_path / "stranger")
    options = ("--venue", "exchange", "--store", str(own_store.root), "--trust", str(stranger))
    one_line(bench("init", *options), 6, "not signed by a root key")
    assert not (bench.state / "config.yml").exists()


def test_an_error_is_json_too_where_json_was_asked_for(bench: Workbench) -> None:
    done = bench("pull", "--session", "2025-06-07", "--json")
    assert done.code == 2 and done.json["error"] == "NotASession" and done.json["mend"]


def test_an_unknown_symbol_is_named(bench: Workbench, own_store: Published) -> None:
    """Asked of the bars themselves: a device's commands take sessions, not symbols."""
    from signals.errors import UnknownSymbol
    from signals.market.dataset import load_bars

    manifest = own_store.manifest
    bars = load_bars(own_store.root / "data", manifest, manifest.last, manifest.last)
    with pytest.raises(UnknownSymbol, match="NOSUCH is not in these bars"):
        bars.column("NOSUCH")
