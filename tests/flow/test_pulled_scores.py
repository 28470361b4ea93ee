"""A device that takes its scores from the store: the day of one that scores itself; nothing forged, old or foreign."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from signals.bundle import Part, Role
from signals.bundle.manifest import Promotion
from signals.bundle.seal import sign
from signals.files import sha256_of
from signals.scoring.evening_scores import SCORES_KIND, EveningScores, seal_scores
from tests.fakes import bundles
from tests.fakes.device import Done, Workbench
from tests.fakes.store import Published, publish_bundle, recipe

Make = Callable[..., Workbench]
trainer = pytest.importorskip("trainer.__main__", reason="the trainer delivers the scores")


def key_folder(folder: Path) -> Path:
    """What `trainer keys` would have left for the keys that signed the store's bundle."""
    folder.mkdir()
    key = bundles.FIRST.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    private = folder / f"signing-{bundles.signing_key(bundles.FIRST).keyid}.key"
    private.write_bytes(key)
    private.chmod(0o600)
    (folder / "root.pub").write_text(bundles.roots()[0].text + "\n")
    (folder / "keyset.json").write_bytes(bundles.keyset_file(bundles.keyset()))
    return folder


def score_daily(store: Published, keys: Path, asof: date) -> dict[str, Any]:
    done = CliRunner().invoke(
        trainer.app,
        ["score-daily", "--data", str(store.root / "data"), "--keys", str(keys), "--to", str(store.root), "--asof", str(asof), "--json"],
    )
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def scoring(bench: Workbench, how: str) -> Workbench:
    path = bench.state / "config.yml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "scoring": how}))
    return bench


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return key_folder(tmp_path / "keys")


@pytest.fixture(scope="module")
def standing(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and a device on the evening of asof, for a test to copy and then to spoil."""
    root = tmp_path_factory.mktemp("standing")
    shutil.copytree(published.root, root / "store")
    store = Published(root / "store", root / "store" / "root.pub", published.manifest, published.last_training)
    day = store.sessions(1)[0]
    score_daily(store, key_folder(root / "keys"), store.manifest.calendar.previous(day))
    bench = Workbench(root / "device")
    asked = ("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust))
    assert bench(*asked, "--fixed-ic", "0.05").code == 0
    assert scoring(bench, "pulled")("pull", "--session", str(day)).code == 0
    return root


@pytest.fixture
def evening(standing: Path, published: Published, tmp_path: Path) -> tuple[Workbench, Path, date]:
    """A device on the evening of asof, its data pulled, and the document that the trainer delivered."""
    root, day = tmp_path / "evening", published.sessions(1)[0]
    shutil.copytree(standing, root)
    settings = root / "device" / "config.yml"
    settings.write_text(settings.read_text().replace(str(standing), str(root)))
    store = Published(root / "store", root / "store" / "root.pub", published.manifest, published.last_training)
    return Workbench(root / "device"), document(store, day), day


def document(store: Published, day: date) -> Path:
    return store.root / "scores" / f"equities_{store.manifest.calendar.previous(day)}.json"


def payload(path: Path) -> EveningScores:
    return EveningScores.model_validate_json(json.loads(path.read_text())["payload"])


def deliver(path: Path, *keys: Ed25519PrivateKey, **changes: Any) -> None:
    """Put a changed document in place of the delivered one, well signed unless other keys are given."""
    changed = payload(path).model_copy(update=changes)
    path.write_bytes(seal_scores(changed, sign(SCORES_KIND, changed.to_bytes(), keys or (bundles.FIRST,))))


def test_the_day_is_to_the_bit_that_of_a_device_that_scores_itself(make: Make, own_store: Published, keys: Path) -> None:
    """Two sessions: the same scores, targets, frozen plans, fills and values; the second has holdings to start from."""
    days = own_store.sessions(2)
    for day in days:
        score_daily(own_store, keys, own_store.manifest.calendar.previous(day))
    seen = []
    for how in ("local", "pulled"):
        bench = scoring(make(own_store, how), how)
        assert bench("arm", "--session", str(days[0]), "--yes").code == 0
        for day in days:
            done = bench("run-day", "--session", str(day), "--json")
            assert done.code == 0, done.out
        seen.append(
            {
                query: bench.rows(query)
                for query in (
                    "SELECT asof, sleeve, symbol, score, rank, z, source FROM scores ORDER BY asof, symbol",
                    "SELECT session, symbol, weight, current_weight, z FROM targets ORDER BY session, symbol",
                    "SELECT session, digest, body FROM plans ORDER BY session",
                    "SELECT session, symbol, side, quantity, price FROM fills ORDER BY session, symbol",
                    "SELECT session, paper_nav, real_nav FROM nav ORDER BY session",
                    "SELECT session, name, value FROM tripwires WHERE name IN ('COVERAGE', 'SCORES_INVALID', 'DRIFT_PSI')"
                    " ORDER BY session, name",
                )
            }
        )
    assert seen[0] == seen[1]
    assert all(len(rows) >= 2 for rows in seen[0].values())
    summary = bench.rows("SELECT summary FROM job_runs WHERE job = 'score' ORDER BY session")
    assert all("delivered as revision 1" in row[0] for row in summary)


def test_scores_that_are_not_delivered_yet_are_waited_for(evening: tuple[Workbench, Path, date]) -> None:
    bench, path, day = evening
    content = path.read_bytes()
    path.unlink()
    done = bench("score", "--session", str(day))
    assert done.code == 5 and "are not delivered yet" in done.err
    path.write_bytes(content)
    assert bench("score", "--session", str(day)).code == 0


def refused(bench: Workbench, day: date) -> Done:
    before = bench.rows("SELECT count(*) FROM scores")
    done = bench("score", "--session", str(day))
    assert done.code == 6, done.out + done.err
    assert bench.rows("SELECT count(*) FROM scores") == before == [(0,)]
    assert bench.rows("SELECT status FROM job_runs WHERE job = 'score'") == [("running",)]
    assert ("the delivered scores are refused",) in bench.rows("SELECT title FROM alerts")
    return done


ATTACKS: dict[str, tuple[Callable[[Path], None], str]] = {
    "forged by a stranger": (lambda path: deliver(path, bundles.STRANGER), "0 trusted keys"),
    "changed on the way": (lambda path: path.write_bytes(path.read_bytes().replace(b"0.", b"1.", 1)), "is wrong"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-40]), "not a JSON document"),
    "of the evening before": (lambda path: deliver(path, asof=date(2025, 5, 29)), "older than"),
    "of the evening after": (lambda path: deliver(path, asof=date(2025, 6, 2)), "later than"),
    "of another sleeve": (lambda path: deliver(path, sleeve="risk"), "their sleeve is risk"),
    "of other features": (lambda path: deliver(path, spec_hash="9" * 64), "their spec_hash"),
    "of another bundle": (lambda path: deliver(path, bundle_sha256="9" * 64), "their bundle_sha256"),
    "of other data": (lambda path: deliver(path, snapshot_id="9" * 64), "their snapshot_id"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_forged_old_or_foreign_is_refused_and_the_job_waits_for_better(attack: str, evening: tuple[Workbench, Path, date]) -> None:
    bench, path, day = evening
    content = path.read_bytes()
    spoil, reason = ATTACKS[attack]
    spoil(path)
    assert reason in refused(bench, day).err
    path.write_bytes(content)
    assert bench("score", "--session", str(day)).code == 0


def test_a_key_that_was_revoked_since_the_last_bundle_signs_no_scores(evening: tuple[Workbench, Path, date]) -> None:
    bench, path, day = evening
    revoked = bundles.keyset(bundles.signing_key(bundles.FIRST, revoked=True), bundles.signing_key(bundles.SECOND), version=2)
    (path.parents[1] / "keyset.json").write_bytes(bundles.keyset_file(revoked))
    done = bench("score", "--session", str(day))
    assert done.code == 6, "the bundle that the revoked key signed is refused as well"
    assert bench.rows("SELECT count(*) FROM scores") == [(0,)]


def test_an_older_revision_is_never_accepted_after_a_newer_one(evening: tuple[Workbench, Path, date]) -> None:
    """The scores of the evening are replaced once; the first document, still well signed, comes back."""
    bench, path, day = evening
    first = path.read_bytes()
    deliver(path, revision=2, created=datetime(2025, 6, 1, tzinfo=UTC))
    assert bench("score", "--session", str(day)).code == 0
    path.write_bytes(first)
    from appliance.bundles.delivered_scores import accepted
    from appliance.ledger import AccessMode, Ledger
    from signals.errors import ScoresRefused
    from signals.files import sha256_of
    from signals.scoring.evening_scores import require_news

    with Ledger(bench.state / "ledger.sqlite", AccessMode.READ) as ledger:
        seen = accepted(ledger, "equities_xs")
    with pytest.raises(ScoresRefused, match="revision 1 after revision 2 was accepted"):
        require_news(payload(path), sha256_of(first), seen, "here")


def test_delivering_again_changes_nothing_and_a_change_is_a_new_revision(own_store: Published, keys: Path) -> None:
    asof = own_store.manifest.calendar.previous(own_store.sessions(1)[0])
    first = score_daily(own_store, keys, asof)["delivered"][0]
    path = own_store.root / first["name"]
    before = path.read_bytes()
    again = score_daily(own_store, keys, asof)["delivered"][0]
    assert (again["is_new"], path.read_bytes()) == (False, before)
    page = path.with_suffix(".md").read_text()
    best = max(zip(payload(path).scores, payload(path).symbols, strict=True))
    assert page.startswith(f"# Scores of equities_xs, close of {asof}\n") and f"| 1 | {best[1]} | {best[0]:+.4f} |" in page
    path.with_suffix(".md").unlink()
    score_daily(own_store, keys, asof)
    assert path.with_suffix(".md").read_text() == page, "a page that is lost is written again"
    assert first["name"] == f"scores/equities_{asof}.json" and first["names"] == len(payload(path).symbols) > 20
    stale = payload(path)
    deliver(path, scores=tuple(2 * value for value in stale.scores))
    corrected = score_daily(own_store, keys, asof)["delivered"][0]
    assert (corrected["is_new"], corrected["revision"]) == (True, 2)
    assert payload(path).scores == stale.scores and "revision 2" in path.with_suffix(".md").read_text()


def test_an_evaluation_published_after_a_champion_does_not_score_in_its_place(own_store: Published, keys: Path) -> None:
    """The delivered scores are the champion's, by sequence and by SHA-256 of its manifest."""
    made = recipe(own_store.root / "data", own_store.last_training)
    models = tuple(sha256_of(content) for part, content in made.files.values() if part is Part.MODEL)
    promotion = Promotion(verdict="promoted", model_sha256=models, record={})
    name = publish_bundle(own_store.root, made.but(seq=2, role=Role.CHAMPION, refusal=None, promotion=promotion))
    publish_bundle(own_store.root, made.but(seq=3))
    asof = own_store.manifest.calendar.previous(own_store.sessions(1)[0])
    score_daily(own_store, keys, asof)
    delivered = payload(own_store.root / "scores" / f"equities_{asof}.json")
    manifest = own_store.root / "equities_xs" / "champion" / name / "manifest.json"
    assert (delivered.bundle_seq, delivered.bundle_sha256) == (2, sha256_of(manifest.read_bytes()))


def test_the_trainer_refuses_what_a_device_would(own_store: Published, keys: Path, tmp_path: Path) -> None:
    def fails(*changes: str) -> str:
        done = CliRunner().invoke(
            trainer.app, ["score-daily", "--data", str(own_store.root / "data"), "--keys", str(keys), "--to", str(own_store.root), *changes]
        )
        assert done.exception is not None
        return str(done.exception)

    asof = own_store.manifest.calendar.previous(own_store.sessions(1)[0])
    assert "does not hold 2031-01-02" in fails("--asof", "2031-01-02")
    assert "is not a date" in fails("--asof", "soon")
    score_daily(own_store, keys, asof)
    document = own_store.root / "scores" / f"equities_{asof}.json"
    deliver(document, bundles.STRANGER)
    assert "what was delivered before cannot be believed" in fails("--asof", str(asof))
    document.unlink()
    latest = own_store.bundles / json.loads((own_store.bundles / "latest.json").read_text())["folder"]
    copy = tmp_path / "copy"
    shutil.copytree(latest, copy)
    (copy / "evidence.json").write_bytes(b"{} ")
    assert "evidence.json has 3 bytes" in fails("--asof", str(asof), "--bundle", str(copy))
    shutil.rmtree(own_store.bundles)
    assert "no bundle is published" in fails("--asof", str(asof))
