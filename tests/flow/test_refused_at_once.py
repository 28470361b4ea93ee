"""What a person or a store got wrong is refused at once, in words, before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.backup.vault import FolderVault
from appliance.bundles.pull import pull_bundle
from appliance.storage.published_store import PublishedFolder
from signals.errors import BundleRefused, StoreUnreachable
from tests.fakes.device import Workbench
from tests.fakes.store import Published
from tests.test_appliance.test_bundle_attacks import Device, policy

Make = Callable[..., Workbench]

PLACE, SLEEVES = "equities_xs/champion", ("equities_xs",)
NAME = "2-0123456789abcdef"
POINTERS = {
    b"": "not a JSON document",
    b"[]": "no folder of a bundle",
    b"<html><body>sign in</body></html>": "not a JSON document",
    bytes(range(256)): "not a JSON document",
    b"[" * 5000: "not a JSON document: nested more than 64 levels deep",
    b" " * 70_000 + b"{}": "70002 bytes, more than 65536",
    b'{"seq": 1E+99999999999999999999}': "not a JSON document: a number is too large",
    b'{"seq": NaN}': "not a JSON document",
    b'{"folder": "a\\ud800"}': "not a JSON document: a text holds half of a character",
    b'{"a\\ud800": 1}': "not a JSON document: a text holds half of a character",
    b'{"folder": 3, "files": ["a"]}': "no folder of a bundle",
    b'{"folder": "2-x", "files": ["a"]}': "no folder of a bundle",
    json.dumps({"folder": NAME}).encode(): "no list of 1 to 64 files",
    json.dumps({"folder": NAME, "files": 3}).encode(): "no list of 1 to 64 files",
    json.dumps({"folder": NAME, "files": []}).encode(): "no list of 1 to 64 files",
    json.dumps({"folder": NAME, "files": [str(n) for n in range(65)]}).encode(): "no list of 1 to 64 files",
    **{
        json.dumps({"folder": folder, "files": ["a"]}).encode(): "no folder of a bundle"
        for folder in ("..", "", ".", f"{NAME}/..", f"{NAME}\0", f"{'9' * 40}-0123456789abcdef")
    },
    **{
        json.dumps({"folder": NAME, "files": [name]}).encode(): "no file of a bundle"
        for name in ("../../keyset.json", "/etc/passwd", "..", "", "a\0b", "a\nb", 7, None, ["a"], "x" * 200)
    },
}


@pytest.mark.parametrize("pointer", POINTERS, ids=range(len(POINTERS)))
def test_a_pointer_that_leads_astray_is_followed_nowhere(pointer: bytes, tmp_path: Path) -> None:
    """The bundle in force stays, nothing else of the store is read, and nothing lands beside the scratch folder."""
    device, published = Device(tmp_path / "device", tmp_path / "incoming"), tmp_path / "store"
    (published / PLACE).mkdir(parents=True)
    (published / PLACE / "latest.json").write_bytes(pointer)
    before = device.snapshot()
    done = pull_bundle(PublishedFolder(published), device.store, policy(), tmp_path / "scratch" / "incoming", sleeves=SLEEVES)
    assert not done.is_new and POINTERS[pointer] in done.refusal
    assert device.snapshot() == before and not list((tmp_path / "scratch").glob("*"))


def test_a_device_without_a_bundle_says_so_instead(tmp_path: Path) -> None:
    device, published = Device(tmp_path / "device", tmp_path / "incoming"), tmp_path / "store"
    (device.folder / "bundles" / "current.json").unlink()
    (published / PLACE).mkdir(parents=True)
    (published / PLACE / "latest.json").write_bytes(b"[]")
    with pytest.raises(BundleRefused, match="no folder of a bundle"):
        pull_bundle(PublishedFolder(published), device.store, policy(), tmp_path / "incoming", sleeves=SLEEVES)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("appliance.yml", "venue: [", "not valid YAML"),
        ("appliance.yml", "- a list", "a mapping of keys to values"),
        ("portfolio.yml", "gross_targt: 1.0", "gross_targt"),
        (None, "", "no such folder of settings"),
    ],
)
def test_settings_that_cannot_be_meant_make_no_device(
    published: Published, tmp_path: Path, file: str | None, content: str, reason: str
) -> None:
    configs, bench = tmp_path / "configs", Workbench(tmp_path / "device")
    if file is not None:
        configs.mkdir()
        (configs / file).write_text(content)
    asked = ("init", "--venue", "exchange", "--store", str(published.root), "--trust", str(published.trust))
    done = bench(*asked, "--configs", str(configs))
    assert done.code == 2 and reason in done.err
    assert not bench.state.exists()


def test_a_replay_needs_a_folder_of_its_own_a_hosted_exchange_and_sessions_that_are_held(
    make: Make, published: Published, tmp_path: Path
) -> None:
    bench, elsewhere = make(published), make(published, "elsewhere", "--url", "http://127.0.0.1:9")
    days, fresh = published.sessions(2), Workbench(tmp_path / "fresh")
    span = ("--start", str(days[0]), "--end", str(days[1]))
    done = bench("replay", "--like", str(bench.state), *span)
    assert done.code == 2 and "device" in done.err
    done = fresh("replay", "--like", str(elsewhere.state), *span)
    assert done.code == 2 and "a replay runs against a hosted exchange" in done.err and not fresh.state.exists()
    last = published.manifest.last
    after = (str(published.manifest.calendar.next(last)), str(published.manifest.calendar.offset(last, 3)))
    done = fresh("replay", "--like", str(bench.state), "--start", after[0], "--end", after[1])
    assert done.code == 2 and "holds no sessions that can be replayed" in done.err


def test_a_place_for_backups_that_is_no_folder_or_takes_nothing_is_unreachable(tmp_path: Path) -> None:
    """A file in the place of a folder; a disk that is not mounted; an object that is a folder."""
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "copy").write_bytes(b"copy")
    mounted = tmp_path / "mounted"
    (mounted / "taken").mkdir(parents=True)
    (mounted / "taken" / "inside").write_bytes(b"x")
    for act in (
        lambda: FolderVault(tmp_path / "file").put("a", tmp_path / "copy"),
        lambda: FolderVault(tmp_path / "absent").names(""),
        lambda: FolderVault(mounted).put("taken", tmp_path / "copy"),
        lambda: FolderVault(mounted).fetch("nothing", tmp_path / "to"),
        lambda: FolderVault(mounted).remove("taken"),
    ):
        with pytest.raises(StoreUnreachable):
            act()
    assert (mounted / "taken" / "inside").read_bytes() == b"x" and not (tmp_path / "to").exists()
    assert sorted(path.name for path in mounted.iterdir()) == ["taken"]
