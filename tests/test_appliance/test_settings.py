"""Addresses and paths of a device may come from its environment; what can change an order comes from `config.yml` alone."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from appliance.commands.command_line import app
from appliance.config import ApplianceConfig, Venue, device_settings, load_config, set_log_level
from appliance.runtime.commissioning import DeviceOptions, settings
from signals.config import load
from signals.errors import BadConfig
from signals.settings import Level

FILE = {"stores": {"data": "/file/data", "bundles": "/file/bundles"}, "backup": {"to": "/file/copies", "daily": 3}}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(FILE))
    return path


def test_a_variable_beats_the_file_and_the_rest_of_the_section_stays(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEML_STORES__DATA", "s3://elsewhere/data")
    monkeypatch.setenv("TRADEML_BACKUP__TO", "/mnt/stick")
    monkeypatch.setenv("TRADEML_STORES__S3__ENDPOINT", "http://127.0.0.1:9000")
    found = load_config(config)
    assert (found.stores.data, found.stores.bundles) == ("s3://elsewhere/data", "/file/bundles")
    assert (found.backup.to, found.backup.daily, found.stores.s3.endpoint) == ("/mnt/stick", 3, "http://127.0.0.1:9000")


def test_places_do_not_change_what_the_orders_rows_are_hashed_with(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load(config, ApplianceConfig)
    monkeypatch.setenv("TRADEML_STORES__BUNDLES", "/elsewhere")
    assert load_config(config).decision_hash() == plain.decision_hash()
    assert load_config(config) != plain


def test_without_a_variable_the_file_stands_as_it_is(config: Path) -> None:
    assert load_config(config) == load(config, ApplianceConfig)


@pytest.mark.parametrize(
    "variable",
    [
        "TRADEML_TRIPWIRES__MAX_DRAWDOWN",
        "TRADEML_VENUE__BROKER",
        "TRADEML_VENUE__URL",
        "TRADEML_PORTFOLIO__GROSS",
        "TRADEML_EXECUTION",
        "TRADEML_SLEEVES__EQUITIES_XS__WEIGHT",
        "TRADEML_REQUIRE_GREEN",
        "TRADEML_ACCEPT_UNPROVEN",
        "TRADEML_SCORING",
        "trademl_portfolio__gross",
    ],
)
def test_a_variable_that_could_change_an_order_is_refused_in_words(config: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(BadConfig, match=r"TRADEML_\w+ is refused: config.yml alone decides"):
        load_config(config)


@pytest.mark.parametrize("variable", ["TRADEML_ALPACA_SECRET_KEY", "TRADEML_ALERT_URLS", "TRADEML_S3__SECRET"])
def test_a_secret_comes_from_the_credentials_alone(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "whispered")
    with pytest.raises(BadConfig, match="the credentials folder alone") as refused:
        device_settings()
    assert "whispered" not in str(refused.value)


@pytest.mark.parametrize(
    "variable", [f"TRADEML_{name}" for name in ("STATES", "STORES", "STORES__PREFER", "STORES__BARS", "BACKUP__DAILY")]
)
def test_a_variable_that_names_nothing_is_refused(config: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """So is one of the stores that says more than where they are."""
    monkeypatch.setenv(variable, "evaluation")
    with pytest.raises(BadConfig, match=f"unknown setting {variable}.*TRADEML_STORES__DATA"):
        load_config(config)


def test_an_unknown_level_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEML_LOG_LEVEL", "LOUD")
    with pytest.raises(BadConfig, match=r"log_level.*TRADEML_LOG_LEVEL"):
        device_settings()


def test_every_command_refuses_such_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEML_TRIPWIRES__MAX_DRAWDOWN", "0.9")
    refused = CliRunner().invoke(app, ["status", "--state", "/nowhere"]).exception
    assert isinstance(refused, BadConfig) and "config.yml alone decides tripwires" in str(refused)


def test_a_flag_beats_the_variable_and_knows_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)
    monkeypatch.setenv("TRADEML_LOG_LEVEL", "ERROR")

    def level_of(*words: str) -> tuple[int, int]:
        code = CliRunner().invoke(app, [*words, "alerts", "--state", "/nowhere"]).exit_code
        return code, logging.getLogger().level

    assert level_of()[1] == logging.ERROR
    assert level_of("--log-level", "INFO")[1] == logging.INFO
    assert level_of("--log-level", "LOUD") == (2, logging.INFO)


def test_the_file_s_level_holds_where_neither_a_flag_nor_a_variable_says_one(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes no order: the hash of the decisions is the same."""
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)
    plain = load_config(config).decision_hash()
    config.write_text(config.read_text() + "log_level: DEBUG\n")

    def level_after(flag: Level | None = None) -> int:
        set_log_level(flag)
        assert load_config(config).decision_hash() == plain
        return logging.getLogger().level

    assert level_after() == logging.DEBUG
    monkeypatch.setenv("TRADEML_LOG_LEVEL", "ERROR")
    assert level_after() == logging.ERROR
    assert level_after("INFO") == logging.INFO
    monkeypatch.delenv("TRADEML_LOG_LEVEL")
    assert level_after() == logging.DEBUG


def test_a_key_that_comes_twice_is_refused(config: Path) -> None:
    """Of two limits the last would hold, and a person reads the first."""
    config.write_text(config.read_text() + "tripwires: {max_drawdown: 0.1,\n  max_drawdown: 0.5}\n")
    with pytest.raises(BadConfig, match=r"not valid YAML.*line \d+: the key max_drawdown comes twice"):
        load_config(config)


@pytest.mark.parametrize("content", ["- a\n", "stores: 3\n", "stores: {data: a, bundles: b, other: c}\n"])
def test_the_file_is_checked_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    (tmp_path / "config.yml").write_text(content)
    monkeypatch.setenv("TRADEML_STORES__DATA", "/elsewhere")
    with pytest.raises(BadConfig):
        load_config(tmp_path / "config.yml")


@pytest.mark.parametrize("file", ["venue: 5", "venue: {exchange: [1]}", "stores: text"])
def test_a_section_that_is_no_mapping_is_refused_with_its_folder(file: str, tmp_path: Path) -> None:
    (tmp_path / "appliance.yml").write_text(file)
    given = DeviceOptions(tmp_path, Venue.EXCHANGE, 1_000.0, "http://127.0.0.1:1", configs=tmp_path)
    with pytest.raises(BadConfig, match="is a mapping of keys to values"):
        settings(given)
