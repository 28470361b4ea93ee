"""What a person or a store got wrong is refused at once, in words, before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.stores import FolderStore
from appliance.sync import LATEST, pull_bundle
from appliance.vault import FolderVault
from signals.errors import BundleRefused, StoreUnreachable
from tests.fakes.device import Workbench
from tests.fakes.store import Published
from tests.test_appliance.test_bundle_attacks import Device, policy

Make = Callable[..., Workbench]

POINTERS = {
    b"": "cannot be read",
    b"[]": "cannot be read",
    b'{"folder": "2-x"}': "cannot be read",
    b'{"folder": "2-x", "files": 3}': "cannot be read",
    json.dumps({"folder": "2-x", "files": [str(n) for n in range(65)]}).encode(): "names 65 files",
    **{
        json.dumps({"folder": folder, "files": [name]}).encode(): "a path outside its bundle"
        for folder, name in (
            ("..", "a"), ("", "a"), (".", "a"), ("2-x/..", "a"), ("2-x", "../../keyset.json"), ("2-x", "/etc/passwd"),
            ("2-x", ".."), ("2-x", ""),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("pointer", POINTERS, ids=range(len(POINTERS)))
def test_a_pointer_that_leads_astray_is_followed_nowhere(pointer: bytes, tmp_path: Path) -> None:
    """The bundle in force stays, nothing else of the store is read, and nothing lands beside the scratch folder."""
    device, published = Device(tmp_path / "device", tmp_path / "incoming"), tmp_path / "store"
    (published / "bundles").mkdir(parents=True)
    (published / LATEST).write_bytes(pointer)
    before = device.snapshot()
    done = pull_bundle(FolderStore(published), device.store, policy(), tmp_path / "scratch" / "incoming")
    assert not done.is_new and POINTERS[pointer] in done.refusal
    assert device.snapshot() == before and not list((tmp_path / "scratch").glob("*"))


def test_a_device_without_a_bundle_says_so_instead(tmp_path: Path) -> None:
    device, published = Device(tmp_path / "device", tmp_path / "incoming"), tmp_path / "store"
    (device.folder / "bundles" / "current.json").unlink()
    (published / "bundles").mkdir(parents=True)
    (published / LATEST).write_bytes(b"[]")
    with pytest.raises(BundleRefused, match="cannot be read"):
        pull_bundle(FolderStore(published), device.store, policy(), tmp_path / "incoming")


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
