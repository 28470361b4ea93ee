"""A device's facts in which every figure is known and bad, the shipped dashboard and rules, and the queries in them."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import yaml

from appliance.status.vitals import HealthFacts, ProcessFacts

FILES = Path(__file__).resolve().parents[2] / "ansible" / "roles" / "monitoring" / "files"
DASHBOARD, RULES = FILES / "trademl.dashboard.json", FILES / "trademl.rules.yml"
METRIC = re.compile(r"trademl_appliance_\w+")


def of_a_full_device(now: datetime) -> HealthFacts:
    """Facts at which every shipped rule fires."""
    return HealthFacts(
        verdict="halted",
        reasons=(),
        latch="HALTED",
        armed=False,
        halt_id="h1",
        session=now.date(),
        equity="100000",
        positions=3,
        account_of="close",
        real_nav="99990",
        real_nav_of="close",
        bundle="1-abc",
        bundle_age=0.9,
        scored_asof=str(now.date() - timedelta(days=9)),
        last_job=None,
        reductions=("DD",),
        undelivered=2,
        unfinished_orders=1,
        free_disk=0.05,
        tripped=("NET",),
        checks={"CLOCK_SKEW": "-2.5", "TEMP": "85", "RECON_BREAK": "1"},
        jobs={"plan": "failed", "pull": "done"},
        last_done={"pull": now - timedelta(hours=20)},
        daemon="runs",
        waits_for=("the clock",),
        process=ProcessFacts(
            1, now.timestamp() - 9_000, "", 0, 47_000_000, {"key set": now.date() + timedelta(days=20), 'credential "s3"': now.date()}
        ),
    )


def expressions(path: Path) -> list[str]:
    """Every query of the dashboard or of the rules."""
    if path == DASHBOARD:
        return [target["expr"] for panel in json.loads(path.read_text())["panels"] for target in panel["targets"]]
    return [rule["expr"] for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
