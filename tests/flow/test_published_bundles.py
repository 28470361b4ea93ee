"""Bundles in a real S3 server: pointer last, the sequence only rises, the superseded leave; a store that compares is asked to."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from signals.bundle import Role
from signals.errors import BadConfig, BundleRefused, StoreUnreachable
from signals.storage.places import Place
from signals.storage.s3 import Objects
from tests.fakes import bundles as fake_bundles
from tests.fakes.bucket import PLACE, objects
from tests.fakes.lineages import publish_six
from tests.fakes.publishing import CREATED, SPECS, run_folder
from tests.fakes.seaweed import BUCKET, WEED, Proxy, Server
from trainer.curation.store import BucketStore
from trainer.publishing import keys as sign
from trainer.publishing.publish import PublishRequest
from trainer.publishing.remote import publish_remote
from trainer.service import rows

pytestmark = pytest.mark.skipif(not WEED.exists(), reason="the SeaweedFS binary is absent")


def test_a_store_that_compares_is_asked_to(server: Server) -> None:
    """The condition travels with the write: a pointer that changed after it was read is not overwritten."""
    pointers = objects(server, "pointers")
    pointers.put("latest.json", b"1", instead_of=None)
    found = pointers.tagged("latest.json")
    assert found is not None
    pointers.put("latest.json", b"2", instead_of=found[1])
    for tag in (found[1], None):
        with pytest.raises(StoreUnreachable, match="meanwhile"):
            pointers.put("latest.json", b"3", instead_of=tag)
    assert pointers.get("latest.json") == b"2"


def test_a_bundle_is_published_pointer_last_and_its_sequence_only_rises(proxy: Proxy, tmp_path: Path) -> None:
    """What a device then reads is the bundle; a publisher that read the pointer too early is told to start again."""
    seeds = iter(range(10, 30))
    sign.create_keys(tmp_path / "keys", date(2030, 1, 2), generate=lambda: fake_bundles.private_key(next(seeds)))
    request = PublishRequest(run=run_folder(tmp_path / "run"), role=Role.EVALUATION, keys=tmp_path / "keys", store=Path(), created=CREATED)
    place = objects(proxy, "bundled")

    def publish(at: datetime = CREATED) -> tuple[int, str]:
        done, where = publish_remote(place, replace(request, created=at), fake_bundles.weekdays(), SPECS)
        return done.seq, where

    seq, where = publish()
    written = [path for method, path, _ in proxy.seen if method == "PUT"]
    assert (seq, written[-1]) == (1, f"/{BUCKET}/bundled/{PLACE}/latest.json")
    assert f"s3://{BUCKET}/bundled/{PLACE}/1-" in where and place.get(f"{PLACE}/{where.rsplit('/', 1)[1]}/model.onnx")
    assert publish(datetime(2026, 11, 21, tzinfo=UTC))[0] == 2
    stale = place.tagged(f"{PLACE}/latest.json")
    assert stale is not None and publish(datetime(2026, 11, 22, tzinfo=UTC))[0] == 3
    place.tagged = lambda name, **_: stale if name == f"{PLACE}/latest.json" else Objects.tagged(place, name)  # type: ignore[method-assign]
    with pytest.raises(StoreUnreachable, match="meanwhile"):
        publish(datetime(2026, 11, 23, tzinfo=UTC))
    held = objects(proxy, "bundled").get(f"{PLACE}/latest.json")
    assert held is not None and json.loads(held)["seq"] == 3


def test_a_bundle_of_the_former_layout_is_brought_over_before_another_is_published(proxy: Proxy, tmp_path: Path) -> None:
    """Its pointer comes before that of the new bundle, and the sequence goes on from it."""
    seeds = iter(range(10, 30))
    sign.create_keys(tmp_path / "keys", date(2030, 1, 2), generate=lambda: fake_bundles.private_key(next(seeds)))
    request = PublishRequest(run=run_folder(tmp_path / "run"), role=Role.EVALUATION, keys=tmp_path / "keys", store=Path(), created=CREATED)
    place = objects(proxy, "moved")
    done, _ = publish_remote(place, request, fake_bundles.weekdays(), SPECS)
    for name in place.names(""):
        if not name.startswith("bundles/") and name != "keyset.json":
            place.remove(name)
    proxy.seen.clear()
    later = replace(request, role=Role.SHADOW)
    publish_remote(place, later, fake_bundles.weekdays(), SPECS)
    written = [path for method, path, _ in proxy.seen if method == "PUT" and path.endswith("latest.json")]
    brought, new = (f"/{BUCKET}/moved/equities_xs/{role}/latest.json" for role in ("evaluation", "shadow"))
    assert brought in written and written[-1] == new
    held = place.get("equities_xs/evaluation/latest.json")
    assert held is not None and json.loads(held)["folder"] == done.folder.name
    newest = place.get("equities_xs/shadow/latest.json")
    assert newest is not None and json.loads(newest)["seq"] == 2


def test_a_bundle_that_no_device_would_take_is_not_uploaded(proxy: Proxy, tmp_path: Path) -> None:
    seeds = iter(range(10, 30))
    sign.create_keys(tmp_path / "keys", date(2030, 1, 2), generate=lambda: fake_bundles.private_key(next(seeds)))
    run = run_folder(tmp_path / "run")
    request = PublishRequest(run=run, role=Role.EVALUATION, keys=tmp_path / "keys", store=Path(), created=CREATED)
    with pytest.raises(BundleRefused):
        publish_remote(objects(proxy, "never"), request, fake_bundles.weekdays(), {"equities_xs": SPECS["equities_xs"][:-1]})
    assert not any(method == "PUT" for method, _, _ in proxy.seen)


@pytest.mark.parametrize("place", ["s3://", "s3:///x", "market/store", "s3://market/../x", "s3://market//x"])
def test_a_place_is_a_bucket_and_a_prefix_and_stays_inside(place: str) -> None:
    with pytest.raises(BadConfig, match="not the place of an object store"):
        Place.parse(place)


def test_superseded_bundles_leave_a_bucket_and_a_removal_that_broke_off_goes_on(server: Server, proxy: Proxy, tmp_path: Path) -> None:
    """As in a folder: of six, 2 and 4 go. The first time the answer about a file of 2 is lost: its manifest, the last, is still there."""
    registry, gone = tmp_path / "registry", f"equities_xs/champion/2-{2:016x}"
    store, faulty = BucketStore(objects(server, "thin")), BucketStore(objects(proxy, "thin"))
    publish_six(store, registry)
    proxy.spoil(f"{gone}/evidence.json", lambda path, answer: None)
    with pytest.raises(StoreUnreachable):
        rows.thin_store(faulty, registry, 1)
    assert proxy.seen[-1][0] == "DELETE" and f"{gone}/manifest.json" in store.names(f"{gone}/")
    assert rows.thin_store(store, registry, 1) == (gone, f"equities_xs/champion/4-{4:016x}")
    kept = {name.split("/")[2][0] for name in store.names("equities_xs/champion/") if name.count("/") == 3}
    assert kept == {"1", "3", "5", "6"} and rows.thin_store(store, registry, 1) == ()
