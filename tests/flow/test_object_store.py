"""Published to a real S3 server, pulled with a key that may only read: whole, resumed, and never half (F51)."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from appliance.storage.download import PART, bring
from appliance.storage.published_sources import PublishedBucket
from appliance.storage.published_store import PublishedFolder
from signals.bundle.keyset import signature_name
from signals.errors import BadConfig, BadDataset, StoreUnreachable
from signals.market.manifest import FileRole, Manifest
from signals.storage.s3 import read_keys
from signals.text.documents import to_json
from tests.fakes import bundles as fake_bundles
from tests.fakes.bucket import (
    FASTER,
    PLACE,
    Device,
    Publications,
    credentials,
    day_after,
    names_below,
    new_bars,
    objects,
    point_at,
    publish_twice,
)
from tests.fakes.device import Workbench
from tests.fakes.seaweed import BUCKET, FAULTS, ON_THE_LINE, READER, WEED, WRITER, Answer, Proxy, Server, status, upload, wrong_tag
from tests.fakes.store import SIGNER
from trainer.__main__ import app
from trainer.curation.store import BucketStore
from trainer.publishing import keys as sign
from trainer.publishing.dataset import publish_data

pytestmark = pytest.mark.skipif(not WEED.exists(), reason="the SeaweedFS binary is absent")


@pytest.fixture(scope="module")
def publications(tmp_path_factory: pytest.TempPathFactory) -> Publications:
    return publish_twice(tmp_path_factory.mktemp("publications"))


@pytest.fixture(scope="module")
def stored(server: Server, publications: Publications) -> None:
    upload(server, publications.first, "store/one")
    upload(server, publications.second, "store/two")


# -- the device -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pulled(server: Server, stored: None, publications: Publications, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A device that has pulled version 1, made by its command line; and its folder of credentials."""
    root = tmp_path_factory.mktemp("pulled")
    keys = credentials(root / "credentials")
    (root / "configs").mkdir()
    (root / "configs" / "appliance.yml").write_text(yaml.safe_dump({"accept_unproven": True, "stores": {"s3": FASTER}}))
    (root / "root.pub").write_text(fake_bundles.roots()[0].text)
    bench = Workbench(root / "state")
    store = ("--store", f"s3://{BUCKET}/store/one", "--endpoint", server.endpoint, "--trust", str(root / "root.pub"))
    made = bench("init", "--venue", "alpaca-paper", *store, "--configs", str(root / "configs"), "--credentials", str(keys))
    assert made.code == 0, made.err
    done = bench("pull", "--session", str(day_after(publications.earlier)), "--credentials", str(keys))
    assert done.code == 0, done.err
    assert "bundle 1-" in done.out
    return root / "state", keys


@pytest.fixture
def device(pulled: tuple[Path, Path], proxy: Proxy, publications: Publications, tmp_path: Path) -> Device:
    state, keys = pulled
    shutil.copytree(state, tmp_path / "state")
    made = Device(tmp_path / "state", keys, day_after(publications.later))
    point_at(made, "store/two", proxy.endpoint)
    return made


def test_a_device_pulls_with_a_key_that_may_only_read_and_never_lists(device: Device, proxy: Proxy, publications: Publications) -> None:
    """Only the new year's file, the actions, the pointers and the new bundle cross the line, by GET alone."""
    report = device.pull()
    assert device.sessions()[1] == publications.later.last
    assert device.bundle().startswith("2-") and to_json(report.figures)["files"] == 1
    assert {method for method, _, _ in proxy.seen} == {"GET"}
    asked = [path for _, path, _ in proxy.seen]
    assert all(path.startswith(f"/{BUCKET}/store/two/") and "list-type" not in path for path in asked)
    assert sum("/data/bars/" in path for path in asked) == 1
    assert device.kept() == []


def test_only_a_pull_needs_the_store(device: Device, pulled: tuple[Path, Path], proxy: Proxy) -> None:
    """With the store down for good the calendar, the scores and the status are still there."""
    proxy.spoil("/", lambda path, answer: None)
    bench = Workbench(device.state)
    before = len(proxy.seen)
    assert bench("timetable", "--day", "2025-06-20").code == 0
    scored = bench("score", "--session", "2025-06-20", "--credentials", str(device.keys))
    assert scored.code == 0 and "scored at" in scored.out
    assert len(proxy.seen) == before
    assert bench("pull", "--session", str(device.session), "--credentials", str(device.keys)).code == 5


def test_the_secret_stands_in_nothing_that_is_written_or_said(device: Device, proxy: Proxy) -> None:
    bench = Workbench(device.state)
    proxy.spoil("/data/manifest.json", status(403))
    refused = bench("pull", "--session", str(device.session), "--credentials", str(device.keys))
    assert refused.code == 5 and "refuses this key" in refused.err
    proxy.heal()
    done = bench("pull", "--session", str(device.session), "--credentials", str(device.keys), "--json")
    for text in (refused.err, done.out, done.err, repr(read_keys(device.keys))):
        assert READER[0] not in text and READER[1] not in text
    for path in device.state.rglob("*"):
        assert not path.is_file() or READER[1].encode() not in path.read_bytes()


def test_a_device_without_keys_is_told_where_they_belong(device: Device, tmp_path: Path) -> None:
    device.keys = credentials(tmp_path / "others")
    (device.keys / "s3-secret-key").unlink()
    with pytest.raises(BadConfig, match="no key pair of the object store") as caught:
        device.pull()
    assert "s3-secret-key" in caught.value.fix


def test_the_root_key_never_comes_from_the_store_over_the_network(tmp_path: Path) -> None:
    done = Workbench(tmp_path / "s")("init", "--venue", "alpaca-paper", "--store", f"s3://{BUCKET}/store/one")
    assert done.code == 2 and "--trust" in done.err and not (tmp_path / "s" / "config.yml").exists()


def test_a_hosted_exchange_reads_its_market_from_a_folder(server: Server, stored: None, tmp_path: Path) -> None:
    """It is said when the device is made, and no device is made."""
    (tmp_path / "root.pub").write_text(fake_bundles.roots()[0].text)
    store = ("--store", f"s3://{BUCKET}/store/one", "--endpoint", server.endpoint, "--trust", str(tmp_path / "root.pub"))
    done = Workbench(tmp_path / "s")("init", "--venue", "exchange", *store, "--credentials", str(credentials(tmp_path / "keys")))
    assert done.code == 2 and "from a folder" in done.err and not (tmp_path / "s").exists()


def test_a_scoped_key_reads_below_its_prefix_and_does_nothing_else(server: Server, stored: None) -> None:
    reader = objects(server, "store/one", READER)
    assert reader.get("data/manifest.json") is not None and reader.get("risk/champion/latest.json") is None
    outside = objects(server, "other", READER)
    objects(server, "other").put("there", b"x")
    for forbidden in (lambda: outside.get("there"), lambda: reader.put("new", b"x"), lambda: reader.names("")):
        with pytest.raises(StoreUnreachable, match="refuses this key"):
            forbidden()
    # Where a key may not list, a refusal is how some servers say that there is nothing.
    assert PublishedBucket(outside).find("there") is None
    with pytest.raises(StoreUnreachable, match="refuses this key"):
        objects(server, "store/one", (READER[0], "wrong")).get("data/manifest.json")


# -- F51: down, slow, lying -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "faults"),
    [
        ("/data/manifest.json", tuple(sorted(FAULTS.keys() - {"misnamed"}))),
        ("/data/bars/", ("cut", "half", "flipped")),
        pytest.param("/data/actions", ("half", "flipped"), marks=pytest.mark.slow),
        (f"/{PLACE}/latest.json", ("misnamed", "html")),
        pytest.param("/keyset.json", ("flipped",), marks=pytest.mark.slow),
        pytest.param("model.onnx", ("cut", "half", "flipped"), marks=pytest.mark.slow),
    ],
)
def test_f51_whatever_the_store_does_the_old_bundle_stays_and_nothing_is_half_written(
    device: Device, proxy: Proxy, publications: Publications, place: str, faults: tuple[str, ...]
) -> None:
    """A typed error or a told refusal each time; afterwards, with an honest store, the same pull succeeds."""
    bars, bundle = device.sessions(), device.bundle()
    is_data = place.startswith("/data/")
    for fault in faults:
        proxy.heal()
        proxy.spoil(place, FAULTS[fault])
        if fault in ON_THE_LINE:
            with pytest.raises(StoreUnreachable):
                device.pull()
        elif is_data:
            with pytest.raises((BadDataset, StoreUnreachable)):
                device.pull()
        else:
            assert to_json(device.pull().figures)["bundle_refusal"]
        assert device.bundle() == bundle
        # A fault of the bundle leaves the bars that came before it; one of the data leaves everything.
        assert device.sessions() == bars if is_data else device.sessions()[1] == publications.later.last
        for name in device.kept():  # what is kept for the next time is what the manifest vouches for
            if not name.endswith(PART):
                (record,) = [r for r in publications.later.files if r.path == name]
                content = (device.state / "incoming" / name).read_bytes()
                assert hashlib.sha256(content).hexdigest() == record.sha256
    proxy.heal()
    device.pull()
    assert device.sessions()[1] == publications.later.last and device.bundle().startswith("2-")
    assert device.kept() == []


def test_f51_an_entity_tag_is_never_believed(device: Device, proxy: Proxy) -> None:
    """A wrong one changes nothing: contents are known by their SHA-256."""
    proxy.spoil("/", wrong_tag)
    assert to_json(device.pull().figures)["bundle_refusal"] == "" and device.bundle().startswith("2-")


def test_f51_a_stale_manifest_is_told_from_a_new_one(device: Device, proxy: Proxy, publications: Publications) -> None:
    """A cache that answers with version 1 after version 2 was pulled takes nothing back."""
    device.pull()
    bars = device.sessions()
    old = (publications.first / "data" / "manifest.json").read_bytes()
    proxy.spoil("/data/manifest.json", lambda path, answer: Answer(200, {}, old))
    device.session = day_after(publications.earlier)
    with pytest.raises(StoreUnreachable, match="version 1 after it gave out version 2"):
        device.pull()
    assert device.sessions() == bars


def test_f51_a_stale_pointer_never_brings_an_older_bundle_back(device: Device, proxy: Proxy, publications: Publications) -> None:
    device.pull()
    new = device.bundle()
    (old,) = [p for p in (publications.first / PLACE).iterdir() if p.is_dir()]

    def stale(path: str, answer: Answer) -> Answer:
        name = path.rsplit("/", 1)[-1]
        source = publications.first / PLACE / ("latest.json" if name == "latest.json" else f"{old.name}/{name}")
        return Answer(200, {}, source.read_bytes())

    proxy.spoil(f"/two/{PLACE}/", stale)
    report = device.pull()
    assert "sequence" in to_json(report.figures)["bundle_refusal"] and device.bundle() == new


def test_f51_an_answer_without_an_end_does_not_fill_the_disk(server: Server, stored: None, tmp_path: Path) -> None:
    """One byte more than was vouched for is enough to know."""

    class Endless(PublishedFolder):
        def pieces(self, name: str, start: int = 0) -> Iterator[bytes]:
            while True:
                yield b"x" * 1000

    with pytest.raises(BadDataset, match="not what the manifest vouches for"):
        bring(Endless(tmp_path), "bars/a", tmp_path / "a", sha256="0" * 64, size=5000)
    assert list(tmp_path.iterdir()) == []


# -- resumed ----------------------------------------------------------------------------------------------------------


def test_a_broken_transfer_goes_on_where_it_broke_off(device: Device, proxy: Proxy, publications: Publications) -> None:
    """Each connection gives 20,000 bytes and breaks: the rest is asked for by range, and nothing twice."""
    path = new_bars(publications)
    size = next(r.size for r in publications.later.files if r.path == path)
    proxy.spoil(path, lambda _, answer: replace(answer, cut_at=size // 4 + 1))
    report = device.pull()
    ranges = [asked for _, seen, asked in proxy.seen if path in seen]
    assert ranges == ["", *(f"bytes={k * (size // 4 + 1)}-" for k in (1, 2, 3))]
    actions = sum(record.size for record in publications.later.of_role(FileRole.ACTIONS))
    assert to_json(report.figures)["transferred"] == size + actions


def test_a_later_process_goes_on_from_the_part_that_an_earlier_one_left(device: Device, proxy: Proxy, publications: Publications) -> None:
    path = new_bars(publications)
    size = next(r.size for r in publications.later.files if r.path == path)
    answers = iter([size // 2])

    def dying(_: str, answer: Answer) -> Answer | None:
        left = next(answers, None)
        return None if left is None else replace(answer, cut_at=left)

    proxy.spoil(path, dying)
    with pytest.raises(StoreUnreachable):
        device.pull()
    assert device.kept() == [path + PART]
    proxy.heal()
    report = device.pull()
    assert [asked for _, seen, asked in proxy.seen if path in seen] == [f"bytes={size // 2}-"]
    assert to_json(report.figures)["transferred"] < size and device.kept() == []


def test_a_part_of_something_else_is_thrown_away_and_fetched_whole(device: Device, proxy: Proxy, publications: Publications) -> None:
    path = new_bars(publications)
    part = device.state / "incoming" / (path + PART)
    part.parent.mkdir(parents=True)
    part.write_bytes(b"not this file")
    (part.parent / "stranger").write_bytes(b"left by an older version")
    device.pull()
    assert [asked for _, seen, asked in proxy.seen if path in seen] == ["bytes=13-", ""]
    assert device.sessions()[1] == publications.later.last and device.kept() == []


def test_a_server_that_ignores_ranges_is_understood(server: Server, stored: None, publications: Publications, proxy: Proxy) -> None:
    whole = (publications.first / "data" / "manifest.json").read_bytes()
    proxy.spoil("manifest.json", lambda path, answer: Answer(200, {}, whole))
    assert b"".join(objects(proxy, "store/one/data").pieces("manifest.json", 1000)) == whole[1000:]


# -- publishing -------------------------------------------------------------------------------------------------------


def test_a_dataset_is_published_content_first_and_manifest_last(proxy: Proxy, publications: Publications, tmp_path: Path) -> None:
    """By the command line; a second time nothing but the unchanged manifest is written."""
    keys, signing = credentials(tmp_path / "keys", WRITER), tmp_path / "signing"
    sign.create_keys(signing, date(2099, 1, 2))
    command = [
        "publish-data",
        "--data",
        str(publications.second / "data"),
        "--keys",
        str(signing),
        "--to",
        f"s3://{BUCKET}/made/data",
        "--endpoint",
        proxy.endpoint,
        "--credentials",
        str(keys),
        "--json",
    ]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    written = [path.removeprefix(f"/{BUCKET}/made/data/") for method, path, _ in proxy.seen if method == "PUT"]
    content = (publications.second / "data" / "manifest.json").read_bytes()
    assert written[-3:] == ["manifests/2.json", signature_name(content), "manifest.json"] and any(p.startswith("bars/") for p in written)
    document = json.loads(result.stdout)
    assert (document["copied"], document["present"]) == (len(written) - 3, 0)
    proxy.heal()
    again = json.loads(CliRunner().invoke(app, command, catch_exceptions=False).stdout)
    assert (again["copied"], again["present"]) == (0, len(written) - 3)
    assert not any("bars/" in path for method, path, _ in proxy.seen if method in ("PUT", "GET"))


def test_a_published_version_never_goes_back_even_between_two_publishers(server: Server, publications: Publications) -> None:
    """The one whose manifest was read before the other's was written is told to start again."""
    store = BucketStore(objects(server, "race/data"))
    publish_data(publications.second / "data", store, SIGNER)
    with pytest.raises(BadDataset, match="holds version 2"):
        publish_data(publications.first / "data", store, SIGNER)

    class Late(BucketStore):
        def replace(self, name: str, content: bytes, was: bytes | None) -> None:
            publish_data(publications.second / "data", BucketStore(objects(server, "late/data")), SIGNER)
            super().replace(name, content, was)

    with pytest.raises(StoreUnreachable, match="meanwhile"):
        publish_data(publications.first / "data", Late(objects(server, "late/data")), SIGNER)
    held = objects(server, "late/data").get("manifest.json")
    assert held is not None and Manifest.from_bytes(held, where="").version == 2


# -- signing what lies there ------------------------------------------------------------------------------------------


def signing(place: str, endpoint: str, folder: Path, *, writer: tuple[str, str] = WRITER) -> Result:
    """Run `trainer sign-data` on a dataset in the bucket, with keys made for the test and those of the bucket."""
    if not (folder / "keys").exists():
        seeds = iter([fake_bundles.ROOT, fake_bundles.FIRST, fake_bundles.DATA])
        sign.create_keys(folder / "keys", date(2099, 12, 31), generate=lambda: next(seeds))
    pair = credentials(folder / f"bucket-{writer[0]}", writer)
    return CliRunner().invoke(
        app,
        [
            "sign-data",
            "--at",
            f"s3://{BUCKET}/{place}",
            "--endpoint",
            endpoint,
            "--credentials",
            str(pair),
            "--keys",
            str(folder / "keys"),
            "--json",
        ],
    )


def test_an_unsigned_dataset_in_a_bucket_is_refused_until_it_is_signed_where_it_lies(
    server: Server, device: Device, publications: Publications, tmp_path: Path
) -> None:
    """A key that may only read signs nothing; the signature is the only object that the one that may write adds."""
    shutil.copytree(publications.second, tmp_path / "unsigned")
    signature = signature_name((tmp_path / "unsigned/data/manifest.json").read_bytes())
    (tmp_path / "unsigned/data" / signature).unlink()
    upload(server, tmp_path / "unsigned", "store/unsigned")
    point_at(device, "store/unsigned", server.endpoint)
    with pytest.raises(BadDataset, match=rf"unsigned.*trainer sign-data --keys DIR --at s3://{BUCKET}/store/unsigned"):
        device.pull()
    before = names_below(server, "store/unsigned/")
    refused = signing("store/unsigned/data", server.endpoint, tmp_path, writer=READER)
    assert isinstance(refused.exception, StoreUnreachable) and names_below(server, "store/unsigned/") == before
    done = signing("store/unsigned/data", server.endpoint, tmp_path)
    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["signed"] is True
    assert names_below(server, "store/unsigned/") - before == {f"store/unsigned/data/{signature}"}
    device.pull()
    assert device.sessions()[1] == publications.later.last


def test_a_damaged_dataset_in_a_bucket_is_not_signed(server: Server, publications: Publications, tmp_path: Path) -> None:
    shutil.copytree(publications.first, tmp_path / "damaged")
    data = tmp_path / "damaged/data"
    (data / signature_name((data / "manifest.json").read_bytes())).unlink()
    (data / publications.earlier.of_role(FileRole.BARS)[0].path).write_bytes(b"other prices")
    upload(server, tmp_path / "damaged", "store/damaged")
    before = names_below(server, "store/damaged/")
    refused = signing("store/damaged/data", server.endpoint, tmp_path)
    assert isinstance(refused.exception, BadDataset) and "not what the manifest vouches for" in str(refused.exception)
    assert names_below(server, "store/damaged/") == before
