"""E10: everything that a host installs is one version with hashes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
LOCKED = ("build", "deep", "dev", "device", "device-test", "docs", "trainer", "uv")


@pytest.mark.parametrize("name", LOCKED)
def test_every_dependency_is_one_version_with_hashes(name: str) -> None:
    """A requirement is `name==version [; marker]` and at least one sha256; nothing else stands in a lock."""
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    found = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    assert found
    for line in found:
        assert re.fullmatch(r"[a-z0-9._\[\]-]+==[^ ;]+( ; .+?)?( +--hash=sha256:[0-9a-f]{64})+", line.rstrip()), line


def test_what_a_trainer_runs_has_the_device_s_versions() -> None:
    """Features and scores are compared across hosts to the bit, so both run the same numpy, onnxruntime and duckdb."""
    pins = [
        dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", (REQUIREMENTS / f"{name}.txt").read_text(), re.MULTILINE))
        for name in ("device", "trainer")
    ]
    assert {name: pins[1].get(name) for name in pins[0]} == pins[0]
