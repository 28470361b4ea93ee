"""The campaign's own verdict: each rule is broken by the markets that it forbids, and a stopped campaign goes on."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.campaigns.promotion import LEAKY, ROUTES, RULES, UNDER, Judged, read, table

BELIEVED: dict[str, bool | None] = {"leak": True, "universe": True, "holdout": None}
DOUBTED = {**BELIEVED, "leak": False}
SOUND = [
    *(Judged("noise", seed, promoted=seed == 1, bars=BELIEVED) for seed in range(1, 21)),
    *(Judged("strong", seed, bars=BELIEVED if seed > 1 else DOUBTED) for seed in range(1, 11)),
    *(Judged("reversal", seed, bars=BELIEVED if seed > 1 else DOUBTED) for seed in range(1, 11)),
    *(Judged(kind, seed, bars=DOUBTED) for kind in LEAKY for seed in (1, 2)),
    *(Judged(kind, 1, dsr=0.5, trials=3) for kind in ROUTES),
]


def broken(found: list[Judged]) -> list[str]:
    return [said for said, is_kept in RULES.items() if not is_kept(found)]


def with_one(kind: str, seed: int, **changes: object) -> list[Judged]:
    return [replace(row, **changes) if (row.kind, row.seed) == (kind, seed) else row for row in SOUND]  # type: ignore[arg-type]


def test_one_noise_in_twenty_and_two_doubted_signals_are_let_pass() -> None:
    assert broken(SOUND) == [] and broken([]) == []


@pytest.mark.parametrize(
    ("kind", "changes", "told"),
    [
        ("noise", {"promoted": True}, "noise is promoted"),
        ("volumes_early", {"promoted": True}, "no leak is promoted"),
        ("file_early", {"bars": BELIEVED}, "no leak is promoted"),
        ("reversal", {"bars": DOUBTED}, "honest signals"),
        ("strong", {"bars": {}}, "honest signals"),
    ],
)
def test_a_rule_is_broken_by_one_more_market(kind: str, changes: dict[str, object], told: str) -> None:
    [said] = broken(with_one(kind, 2, **changes))
    assert said.startswith(told)


def test_routes_that_differ_in_ratio_or_count_break_their_rule() -> None:
    for changes in ({"dsr": 0.6}, {"trials": 1}):
        assert broken(with_one("route search", 1, **changes)) == ["every route to one model has one DSR"]


def test_what_was_judged_under_other_settings_or_was_cut_off_is_judged_again(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert read(log) == []
    whole = "".join(json.dumps(asdict(row)) + "\n" for row in (SOUND[0], replace(SOUND[1], under="others")))
    cut = json.dumps(asdict(SOUND[2]))[:40]
    log.write_text(f"{whole}{cut}\n{json.dumps(asdict(SOUND[3]))}\n{cut}")
    assert read(log) == [SOUND[0], SOUND[3]] and SOUND[0].under == UNDER


def test_a_seal_that_stayed_closed_is_not_counted_as_asked() -> None:
    noise = [row for row in SOUND if row.kind == "noise"]
    lines = table([*noise, replace(SOUND[0], seed=99, bars={**BELIEVED, "holdout": True})]).splitlines()
    assert [line for line in lines if "holdout" in line] == ["| holdout | 1 of 1 | - | - | - |"]
    assert [line for line in lines if line.startswith("| leak ")] == ["| leak | 21 of 21 | - | - | - |"]
