"""What a store's pointers and sequences may say: one bad one is refused, and no other takes its place."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from signals.bundle import Role
from signals.bundle.layout import (
    MAX_LATEST_BYTES,
    MOST_FILES,
    TRADED,
    Latest,
    find_latest,
    latest_of,
    places_of,
    read_latest,
    read_sequence,
    sequence,
    sequence_bytes,
)
from signals.errors import BundleRefused
from tests.fakes.bundles import Recipe

SLEEVE = "equities_xs"
FOLDER = "7-0123456789abcdef"
FILES = ("manifest.json", "manifest.sig", "model.onnx")


def pointer_bytes(**changes: object) -> bytes:
    """A pointer that says otherwise in places."""
    return json.dumps({"folder": FOLDER, "files": list(FILES)} | changes).encode()


def looked(store: Mapping[str, bytes], roles: tuple[Role, ...] = TRADED) -> tuple[Latest | None, list[str]]:
    """What a reader finds in a store of these files, and where it looked, in order."""
    asked: list[str] = []

    def find(name: str) -> bytes | None:
        asked.append(name)
        return store.get(name)

    return find_latest(find, (SLEEVE,), roles), asked


def test_a_pointer_names_the_folder_and_the_files_of_the_manifest_it_was_made_of() -> None:
    manifest = Recipe(seq=7).manifest()
    latest = latest_of(manifest, f"{SLEEVE}/evaluation")
    content = latest.to_bytes(manifest.bundle_id, "0" * 64)
    assert read_latest(content, f"{SLEEVE}/evaluation") == latest
    assert (latest.seq, latest.folder) == (7, f"7-{manifest.bundle_id}")
    assert latest.files == tuple(sorted({"manifest.json", "manifest.sig"} | {file.path for file in manifest.files}))
    assert latest.path("model.onnx") == f"{SLEEVE}/evaluation/7-{manifest.bundle_id}/model.onnx"


def test_places_are_looked_at_in_the_order_of_the_roles_and_the_former_ones_last() -> None:
    new, former = f"{SLEEVE}/evaluation/latest.json", "bundles/latest.json"
    assert looked({}) == (None, [f"{SLEEVE}/champion/latest.json", new, former])
    found, asked = looked({new: pointer_bytes(), former: pointer_bytes()})
    assert found == Latest(f"{SLEEVE}/evaluation", FOLDER, FILES) and former not in asked
    assert looked({former: pointer_bytes()})[0] == Latest("bundles", FOLDER, FILES)
    assert looked({former: pointer_bytes()}, (Role.SHADOW,))[0] is None


def test_the_roles_of_a_sleeve_share_one_sequence_and_its_places_are_each_named_once() -> None:
    assert sequence(SLEEVE) == f"{SLEEVE}/sequence.json"
    roles = tuple(f"{SLEEVE}/{role}" for role in ("champion", "shadow", "evaluation"))
    assert places_of(SLEEVE) == (*roles, "bundles", "shadow/bundles")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b" " * (MAX_LATEST_BYTES + 1), "65537 bytes, more than 65536"),
        (b"<html>", "not a JSON document"),
        (b"[]", "no folder"),
        (pointer_bytes(folder=7), "no folder"),
        (pointer_bytes(folder="../7-0123456789abcdef"), "no folder"),
        (pointer_bytes(folder="7-0123456789abcdef/.."), "no folder"),
        (pointer_bytes(folder="\u0667-0123456789abcdef"), "no folder"),
        (pointer_bytes(files=None), "no list of 1 to 64 files"),
        (pointer_bytes(files=[]), "no list of 1 to 64 files"),
        (pointer_bytes(files=["model.onnx"] * (MOST_FILES + 1)), "no list of 1 to 64 files"),
        (pointer_bytes(files=["model.onnx", 1]), "no file of a bundle"),
        (pointer_bytes(files=["../model.onnx"]), "no file of a bundle"),
        (pointer_bytes(files=[".hidden"]), "no file of a bundle"),
    ],
    ids=[
        "too large",
        "no JSON",
        "a list",
        "a number",
        "a step up",
        "a step up after it",
        "other digits",
        "no files",
        "an empty list",
        "too many",
        "not all names",
        "a name that leads out",
        "a hidden name",
    ],
)
def test_a_pointer_that_names_no_bundle_is_refused_and_the_next_place_is_not_asked(content: bytes, reason: str) -> None:
    store = {f"{SLEEVE}/champion/latest.json": content, f"{SLEEVE}/evaluation/latest.json": pointer_bytes()}
    with pytest.raises(BundleRefused, match=reason):
        looked(store)
    assert looked(store, (Role.EVALUATION,))[0] is not None


@pytest.mark.parametrize("said", [[], {}, {"seq": "7"}, {"seq": True}, {"seq": -1}, {"seq": 7.0}])
def test_a_sequence_is_a_whole_number_that_somebody_wrote(said: object) -> None:
    assert read_sequence(sequence_bytes(7), "sequence.json") == 7
    with pytest.raises(BundleRefused, match="holds no sequence"):
        read_sequence(json.dumps(said).encode(), "sequence.json")
