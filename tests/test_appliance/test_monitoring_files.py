"""The shipped dashboard and alert rules name metrics that the device really writes, and every alert says its device and what to do."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from appliance.status.vitals import metrics
from signals.alerts.addresses import message
from signals.alerts.alert import Alert, FileNotifier, Severity
from signals.alerts.next_steps import NEXT_STEPS, next_step
from tests.fakes.monitoring import DASHBOARD, METRIC, RULES, expressions, of_a_full_device

NOW = datetime(2026, 3, 4, 21, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]
SENDERS = {"notify": 2, "warn": 1, "_notify": 1, "Alert": 1}  # function -> place of the key among its arguments
EXPOSED = set(METRIC.findall(metrics(of_a_full_device(NOW), NOW)))


@pytest.mark.parametrize("path", [DASHBOARD, RULES], ids=["dashboard", "rules"])
def test_every_metric_that_a_panel_or_a_rule_names_is_written_by_the_device(path: Path) -> None:
    named = {metric for expression in expressions(path) for metric in METRIC.findall(expression)}
    assert named - EXPOSED == set()
    assert len(named) >= 12


def test_every_metric_of_the_device_is_on_the_dashboard() -> None:
    assert EXPOSED - {metric for expression in expressions(DASHBOARD) for metric in METRIC.findall(expression)} == set()


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    """The parts that its importer asks for: a uid, panels with ids of their own on a grid of 24, a source that is chosen."""
    found = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids)) >= 15 and found["uid"] and found["schemaVersion"] >= 36
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in found["panels"])
    assert {panel["datasource"]["uid"] for panel in found["panels"]} == {"${datasource}"}
    assert [variable["name"] for variable in found["templating"]["list"]] == ["datasource", "device"]


def test_every_rule_names_the_device_and_what_to_do() -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 12
    for rule in rules:
        assert rule["annotations"]["to_do"] and rule["labels"]["severity"] in ("page", "warn")
        assert "$labels.device" in rule["annotations"]["summary"] or rule["expr"].startswith("absent(")


def test_a_label_that_holds_quotes_does_not_break_the_text() -> None:
    assert r'what="credential \"s3\""' in metrics(of_a_full_device(NOW), NOW)


def keys_of(path: Path) -> Iterator[str]:
    """The key of every alert that a module sends, as far as it is written there."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)) if any(name in source for name in SENDERS) else ():
        name = getattr(getattr(node, "func", None), "attr", getattr(getattr(node, "func", None), "id", ""))
        if isinstance(node, ast.Call) and name in SENDERS:
            place = 1 if isinstance(node.func, ast.Attribute) and name == "notify" else SENDERS[name]
            is_finding = name == "warn" and ast.unparse(node.args[0]) != "deps"  # the doctor's findings are no alerts
            if len(node.args) > place and not is_finding:
                yield from texts(node.args[place])


def texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)


KEYS = sorted({key for package in ("appliance", "trainer") for path in (ROOT / package).rglob("*.py") for key in keys_of(path)})


@pytest.mark.parametrize("key", KEYS)
def test_every_kind_of_alert_says_what_to_do_and_on_which_device(key: str) -> None:
    """What leaves is the title, the device, the key, and fixed words of ours; never the body."""
    step = next_step(key)
    assert len(step) > 10 and step.endswith("."), f"{key}: add its kind to the table of next steps"
    sent = message(Alert(Severity.WARN, key, "something happened", "secret figures", NOW), "pi-desk")
    assert "something happened on pi-desk" in sent and step in sent and "secret" not in sent


def test_many_kinds_were_found_and_the_table_has_no_other() -> None:
    said = {next_step(key).removesuffix(".") for key in KEYS}
    assert len(KEYS) >= 30
    assert {kind for kind, step in NEXT_STEPS.items() if step not in said} == set(), "a kind that nothing sends"


def test_an_unknown_kind_is_sent_without_advice_and_the_longest_kind_counts() -> None:
    assert next_step("nobody-knows") == ""
    assert next_step("halt-file") != next_step("halt-1a2b")
    assert "stack: false" in next_step("stack-weights-2024-03-12")


def test_the_file_of_alerts_keeps_device_and_advice(tmp_path: Path) -> None:
    FileNotifier(tmp_path / "alerts.jsonl").notify(Alert(Severity.PAGE, "halt-1", "HALTED", "why", NOW))
    row = json.loads((tmp_path / "alerts.jsonl").read_text())
    assert row["device"] and re.search("appliance rearm", row["to_do"]) and row["body"] == "why"
