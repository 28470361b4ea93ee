"""Real 5-minute bars of 18 stocks, from the vendor's file to a verdict: what was found of each, and why it is refused.

    make real-minutes [MINUTES=../shared/data/us_5min_2025_2026_open.parquet]

One file makes daily bars and minutes beside them, both audited. `intraday_xs` is trained on all names and judged as `trainer promote`
does; `bars` is trained on every name alone. The report is var/real-minutes/report.md; nothing in it is expected to be skilled.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import sys
import time
from pathlib import Path
from statistics import NormalDist
from typing import Any

from trainer.__main__ import app

FOLDER = Path("var/real-minutes")
MAPPING = "minutes: {label: start, minutes: 5, columns: {time: ts}}"
CURATION = "curation: {min_history: 20}"
NAMES = """
sleeve: intraday_xs
lightgbm: {trees: 60, num_leaves: 7, min_data_in_leaf: 100}
cpcv: {groups: 6, test_groups: 2, embargo_sessions: 5, long_embargo_sessions: 5, holdout_sessions: 40}
"""
ONE = """
sleeve: bars
label: {kind: barrier_classes, k: 20}
lightgbm: {trees: 60, num_leaves: 7, min_data_in_leaf: 200}
cpcv: {groups: 4, test_groups: 1}
"""


def asked(*arguments: object) -> dict[str, Any]:
    """Answer of the program in JSON; a verdict that refuses is an answer too."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            app([str(argument) for argument in (*arguments, "--json")])
        except SystemExit as error:
            if error.code not in (0, 1, None):
                raise
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def evidence_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "evidence.json").read_text())
    return found


def main(minutes: Path) -> int:
    if not minutes.is_file():
        print(f"{minutes} is not here: nothing was run", file=sys.stderr)
        return 2
    began = time.process_time()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for name, text in (("five.yml", MAPPING), ("curation.yml", CURATION), ("names.yml", NAMES), ("one.yml", ONE)):
        (FOLDER / name).write_text(text)
    data, kept = FOLDER / "us", FOLDER / "us" / "minutes"
    given = ("--basis", "total_return", "--to")
    daily = asked("ingest", "--bars", minutes, "--mapping", FOLDER / "five.yml", "--config", FOLDER / "curation.yml", *given, data)
    held = asked("ingest", "--minutes", minutes, "--calendar", "XNYS", "--daily", data, *given, kept)
    names = sorted(path.name for path in (kept / "minutes").iterdir())
    print(f"{len(names)} names, {held['rows']:,} bars; daily {daily['statuses']}, minutes {held['statuses']}", flush=True)
    usable = [audit["session"] for audit in json.loads((data / "manifest.json").read_text())["audits"] if audit["status"] != "RED"]
    run = FOLDER / "intraday_xs"
    asked("train", "--sleeve", "intraday_xs", "--data", data, "--config", FOLDER / "names.yml", "--run", run, "--end", usable[-1])
    verdict = asked("promote", "--run", run, "--data", data, "--registry", FOLDER / "registry")
    known = evidence_of(run)
    lines = [
        f"# {len(names)} stocks, {len(usable)} sessions of 5-minute bars",
        f"\nAudit: daily {daily['statuses']}; minutes {held['statuses']}.",
        f"\n## intraday_xs\n\nIC {known['ic']['mean']:+.4f} (t {known['ic']['t_newey_west']:+.2f}), walking forward "
        f"{known['walk_forward']['ic']['mean']:+.4f} (t {known['walk_forward']['ic']['t']:+.2f}).\n",
        *(f"* {warning}" for warning in known["warnings"]),
        f"\nVerdict: {verdict['verdict']}.\n",
        *(f"* {reason}" for reason in str(verdict["why"]).split("; ")),
        "\n## bars, each name alone\n\n| name | IC out of fold (t) | walking forward (t) | sessions | why it is refused |",
        "|---|---|---|---|---|",
    ]
    luck = NormalDist().inv_cdf(1.0 - 0.05 / len(names))
    for name in names:
        run = FOLDER / f"bars-{name}"
        asked("train", "--sleeve", "bars", "--symbol", name, "--timeframe", 5, "--data", kept, "--config", FOLDER / "one.yml", "--run", run)
        one = evidence_of(run)
        ic, ahead = one["ic"], one["walk_forward"]["ic"]
        lucky = f"t {ahead['t']:.2f} is under {luck:.2f}, which the best of {len(names)} names without skill reaches with chance 5 %"
        said = "; ".join(one["warnings"]) or (lucky if ahead["t"] < luck else "nothing here refuses it")
        figures = f"{ic['mean']:+.4f} ({ic['t_newey_west']:+.2f}) | {ahead['mean']:+.4f} ({ahead['t']:+.2f}) | {ahead['sessions']}"
        lines.append(f"| {name} | {figures} | {said} |")
        print(lines[-1], flush=True)
    lines.append(f"\n{time.process_time() - began:.0f} s of CPU.")
    (FOLDER / "report.md").write_text("\n".join(lines) + "\n")
    print(f"{FOLDER / 'report.md'}: {lines[-1].strip()}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=Path, nargs="?", default=Path("../shared/data/us_5min_2025_2026_open.parquet"))
    sys.exit(main(parser.parse_args().minutes))
