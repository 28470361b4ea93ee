"""What is not given: a flag beats a variable, a variable the workspace's file; several candidates are refused or asked about."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from signals.config import load_section
from signals.errors import BadConfig, FixInput
from tests.fakes.curated import curate
from tests.fakes.terminal import Person
from trainer import workspace
from trainer.__main__ import app
from trainer.commands import defaults as defaulting
from trainer.commands.defaults import RULES, defaults
from trainer.commands.options import WORKSPACE
from trainer.learners.parameters import LightGbmConfig
from trainer.promotion.bars.config import PromotionConfig
from trainer.publishing.keys import create_keys
from trainer.recipes.base import CpcvConfig, RecipeConfig, SearchConfig
from trainer.workspace import FOLDERS, Places, Workspace, make, read

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
AT = datetime(2026, 3, 2, 17, 4, 59, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace, and the current folder."""
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hold(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True)
    (folder / name).write_text("{}")
    return folder


def said(*words: str) -> str:
    """Output and error of a command that is refused."""
    result = CliRunner().invoke(app, list(words))
    assert isinstance(result.exception, FixInput), result.output
    return f"{result.output}{result.exception}"


# Where the workspace is


def test_a_new_workspace_says_where_everything_is_relative_to_its_file(home: Path) -> None:
    found = read(home).places
    assert [getattr(found, key) for key in FOLDERS] == [Path(key) if key != "store" else key for key in FOLDERS]
    assert (found.bars, found.cluster, found.log_level) == (None, None, "WARNING")


def test_it_is_found_upwards_and_by_a_variable(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    below = home / "notes" / "today"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert read(below).places.runs == Path("../../runs")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    assert read(elsewhere) == Workspace(Places())
    assert read(elsewhere, str(home)).places.runs == home / "runs"
    with pytest.raises(FixInput, match=r"TRADEML_HOME names a folder without workspace.yml.*trainer init"):
        read(home, str(elsewhere))


def test_one_of_another_user_holds_only_where_it_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a stranger left in a shared folder above must not say where keys and stores are."""
    owner = home.stat().st_uid
    monkeypatch.setattr(workspace.os, "getuid", lambda: owner + 1)
    if owner == 0:
        os.chown(home / "workspace.yml", 12345, -1)
    with pytest.raises(FixInput, match=r"another user's.*Set TRADEML_HOME"):
        read(home)
    assert read(home, str(home)).places.runs == home / "runs"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("version: 1\ndta: x\n", "dta: .*Known: TRADEML_BARS, "),
        ("version: 1\nhome: x\n", "home: "),
        ("- a\n", "mapping"),
        ("version: 1\nlog_level: LOUD\n", "log_level"),
        ("version: 1\ndata: [1]\n", "data"),
        ("version: 2\ndata: x\nvaults: y\n", "a workspace of version 2; this program reads version 1"),
        ("data: x\n", "a workspace of version none"),
    ],
)
def test_a_file_that_says_something_else_is_refused(home: Path, content: str, message: str) -> None:
    (home / "workspace.yml").write_text(content)
    with pytest.raises(BadConfig, match=message):
        read(home)


def test_an_object_store_is_no_path_and_an_absolute_path_stays(home: Path) -> None:
    (home / "workspace.yml").write_text("version: 1\nstore: s3://bucket/store\nruns: /big/runs\nbars: my.yml\n")
    (home / "below").mkdir()
    os.chdir(home / "below")
    found = read(home / "below").places
    assert (found.store, found.runs, found.bars, found.keys) == ("s3://bucket/store", Path("/big/runs"), Path("../my.yml"), Path("../keys"))


def test_the_settings_file_of_before_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trainer.yml").write_text("data: /file/data\nregistry: reg\n")
    found = read(tmp_path).places
    assert (found.data, found.registry, found.keys, found.runs) == (Path("/file/data"), Path("reg"), None, None)


def test_init_writes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADEML_HOME", str(tmp_path / "market"))  # a folder that is no workspace yet
    done = CliRunner().invoke(app, ["init"])
    assert done.exit_code == 0 and "trainer ingest --bars FILE" in done.stdout
    assert read(tmp_path, str(tmp_path / "market")).places.data == tmp_path / "market" / "data"
    (tmp_path / "market" / "workspace.yml").write_text("version: 1\n")
    assert "there is a workspace" in said("init")
    assert (tmp_path / "market" / "workspace.yml").read_text() == "version: 1\n"


# Which value holds


def test_a_flag_beats_a_variable_beats_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of a real command: which dataset it says something of."""
    (home / "workspace.yml").write_text("version: 1\ndata: /file/data\n")
    assert "/file/data" in said("deliveries")
    monkeypatch.setenv("TRADEML_DATA", "/variable/data")
    assert "/variable/data" in said("deliveries")
    assert "/flag/data" in CliRunner().invoke(app, ["deliveries", "--data", "/flag/data"]).output
    monkeypatch.setenv("TRADEML_DATTA", "x")
    with pytest.raises(BadConfig, match=r"unknown setting TRADEML_DATTA.*TRADEML_DATA"):
        read(home)


def test_every_place_is_asked_for_by_an_option_and_every_rule_by_a_command() -> None:
    """A place that no command knows would be taken and ignored."""
    options = {(name, option.name) for name, command in COMMANDS.items() for option in command.params}
    in_commands = {
        "runs",
        "recipes",
        "store",
        "log_level",
        "passphrase",
    }  # named, found and printed by the command itself, or the program's
    assert set(Places.model_fields) - in_commands <= {name for _, name in options}
    assert all(rule in options if isinstance(rule, tuple) else rule in {name for _, name in options} for rule in RULES)


def test_no_command_demands_what_a_workspace_has() -> None:
    demanded = {(n, o.name) for n, command in COMMANDS.items() for o in command.params if o.required}
    assert not demanded & {(n, name) for n in COMMANDS for name in ("data", "keys", "registry", "run", "runs", "bars")}
    literal = ("train", "search", "stack", "promote")
    assert {(n, name) for n, name in demanded if n in literal} == {("search", "sleeve")}  # train: or a preset
    assert {name for n, name in demanded if n == "publish"} == {"role"}


SHORT = {
    "compare-accounts",
    "deliveries",
    "frontier",
    "grant-data",
    "grant-rollback",
    "init",
    "keys",
    "models",
    "options structures",
    "outlook",
    "pair",
    "rollback",
    "rotate-keys",
    "run",
    "runs",
    "serve",
    "sessions",
    "status",
    "trials",
    "validate",
}


SHOWS = re.compile(r"with (connected\(cluster\), )?progress\(|_surfaces\(.*as_json=as_json\)")  # the last one shows how far it is itself


def single(name: str, command: Any) -> list[tuple[str, Any]]:
    """The command itself, or those of its group under both names."""
    of_group = getattr(command, "commands", None)
    return [(f"{name} {inner}", one) for inner, one in of_group.items()] if of_group else [(name, command)]


def test_every_command_that_may_be_long_says_how_far_it_is() -> None:
    silent = {
        name
        for name, command in (pair for named in COMMANDS.items() for pair in single(*named))
        if not SHOWS.search(inspect.getsource(command.callback))
    }
    assert silent == SHORT


def test_what_the_help_calls_the_workspaces_has_a_rule() -> None:
    """A command must not get nothing for what its help promises."""
    said = {(n, o.name) for n, command in COMMANDS.items() for o in command.params if o.show_default in (WORKSPACE, "asked for")}
    own = {("ingest", "symbol"), ("rollback", "keys"), ("rollback", "store")}  # the command's own affair
    assert {pair for pair in said - own if not {pair, pair[1]} & set(RULES)} == set()


@pytest.mark.parametrize("command", sorted(name for name, command in COMMANDS.items() if any(o.name == "data" for o in command.params)))
def test_every_command_takes_the_only_dataset_and_refuses_two(home: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    def found() -> object:
        return defaults(read(home), COMMANDS)[command]["data"]()

    with pytest.raises(FixInput, match=r"no dataset yet \(data\).*trainer ingest"):
        found()
    hold(home / "data" / "us", "manifest.json")
    (home / "data" / "notes").mkdir()
    assert found() == Path("data/us")
    assert capsys.readouterr().err == "using --data data/us\n"
    hold(home / "data" / "eu", "manifest.json")
    with pytest.raises(
        FixInput, match=r"which dataset\? None is named, and these are there \(data/eu, data/us\). Give --data, or name one"
    ):
        found()
    (home / "workspace.yml").write_text("version: 1\ndata: data/eu\n")
    assert found() == Path("data/eu")


def test_keys_and_store_are_those_of_the_workspace(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def of(command: str, option: str) -> object:
        return defaults(read(home), COMMANDS)[command][option]()

    with pytest.raises(FixInput, match=r"no keys yet \(keys\).*trainer keys"):
        of("publish", "keys")
    assert (of("keys", "to"), of("publish", "to"), of("publish-data", "to"), of("sign-data", "at")) == (
        Path("keys"),
        "store",
        "store/data",
        "store/data",
    )
    create_keys(home / "keys", date(2030, 1, 1))
    assert of("publish", "keys") == Path("keys")
    assert "using --to store/data" in capsys.readouterr().err


def test_a_delivery_belongs_to_the_dataset_of_its_name_or_with_add_to_the_only_one(home: Path) -> None:
    (home / "prices.v2.csv").write_text("date,symbol\n")
    assert "--to data/prices" in said("ingest", "--bars", "prices.v2.csv")
    assert "--to data/us" in said("ingest", "--bars", "prices.v2.csv", "--name", "us")
    assert "0 datasets may be meant" in said("ingest", "--add", "--bars", "prices.v2.csv")
    hold(home / "data" / "us", "manifest.json")
    assert "--to data/us" in said("ingest", "--add", "--bars", "prices.v2.csv")
    hold(home / "data" / "eu", "manifest.json")
    assert "2 datasets may be meant" in said("ingest", "--add", "--bars", "prices.v2.csv")


def test_a_run_is_named_by_minute_and_configuration_and_never_twice(home: Path) -> None:
    found = read(home)
    first = found.new(AT, "equities_xs", "ridge", "0a1b2c3d")
    assert first == Path("runs/2026-03-02-1704-equities_xs-ridge-0a1b2c3d")
    hold(first, "evidence.json")
    second = found.new(AT, "equities_xs", "ridge", "0a1b2c3d")
    assert second == Path(f"{first}-2")
    hold(second, "evidence.json")
    (home / "runs" / "search-equities_xs").mkdir()
    assert found.runs() == [second, first]


# Which run


def test_promote_and_publish_never_choose_a_run_themselves(home: Path) -> None:
    """Without a terminal they refuse and name the candidates, though there be one alone."""
    hold(home / "data" / "us", "manifest.json")
    create_keys(home / "keys", date(2030, 1, 1))
    for words in (("promote",), ("publish", "--role", "evaluation")):
        assert "there is no run yet" in said(*words)
    hold(home / "runs" / "a", "evidence.json")
    for words in (("promote",), ("publish", "--role", "evaluation")):
        assert "which run? None is named, and these are there (runs/a). Name one: --run FOLDER" in said(*words)
    assert "using --run runs/a" in said("shadow")
    hold(home / "runs" / "b", "evidence.json")
    for words in (("promote",), ("shadow",), ("backtest", "--start", "2024-01-02", "--end", "2024-02-01")):
        assert "these are there (runs/b, runs/a)" in said(*words)


def test_a_stack_takes_the_runs_that_are_there_where_each_is_of_a_sleeve_of_its_own(home: Path) -> None:
    hold(home / "data" / "us", "manifest.json")
    for name, sleeve in (("a", "equities_xs"), ("b", "reversal")):
        (hold(home / "runs" / name, "evidence.json") / "evidence.json").write_text(json.dumps({"sleeve": sleeve}))
    assert "using --runs runs/b, runs/a" in said("stack")
    (hold(home / "runs" / "c", "evidence.json") / "evidence.json").write_text(json.dumps({"sleeve": "reversal"}))
    assert "A stack takes one of each of several sleeves" in said("stack")
    create_keys(home / "keys", date(2030, 1, 1))
    assert "there is no stack yet" in said("publish-stack")
    hold(home / "runs" / "s", "stack.json")
    assert "which stack? None is named, and these are there (runs/s). Name one: --stack FOLDER" in said("publish-stack")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asked")
    make(folder)
    create_keys(folder / "keys", date(2030, 1, 1))
    for name in ("2026-03-01-1200-a", "2026-03-02-1200-b", *(f"2026-02-{day:02d}-1200-c" for day in range(1, 10))):
        hold(folder / "runs" / name, "evidence.json")
    return folder


@pytest.mark.slow
def test_on_a_terminal_the_run_is_asked_for_and_the_answer_is_taken(asked: Path) -> None:
    """The newest are shown first; what names none is asked again; the chosen one is published, or refused by its own evidence."""
    person = Person(asked, "publish", "--role", "evaluation")
    person.sees("  1  2026-03-02-1200-b")
    person.sees("  2  2026-03-01-1200-a")
    person.sees("and 2 older ones")
    person.sees("Which run? A number, or a name: ")
    person.types("12\n")
    person.sees("no run '12'")
    person.types("2\n")
    person.sees("using --run runs/2026-03-01-1200-a")
    person.sees("runs/2026-03-01-1200-a")  # whose evidence is empty: the refusal names it
    assert person.ends() == 2


def test_who_leaves_at_the_question_is_told_that_nothing_was_changed(asked: Path) -> None:
    person = Person(asked, "publish", "--role", "evaluation")
    person.sees("Which run? A number, or a name: ")
    person.leaves("you left at the question; nothing was changed. Run it again")
    assert person.ends() == 5


# Where there is nothing


def test_in_an_empty_folder_two_lines_say_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trainer", "train", "--sleeve", "equities_xs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    first, second = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert "`trainer init`" in first and "`trainer ingest --bars FILE`" in first
    assert "`make demo`" in second
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["search", "stack", "promote", "publish", "audit", "sessions", "compare", "score-daily", "retrain"])
def test_every_command_says_the_same_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"search": ["--sleeve", "equities_xs"], "retrain": ["--sleeve", "equities_xs"], "publish": ["--role", "evaluation"]}
    more = given.get(command, []) if command != "compare" else ["--sleeve", "equities_xs", "--learners", "ridge"]
    text = said(command, *more)
    assert "is not given, and there is no workspace.yml here or above" in text


def test_there_a_registry_has_the_place_that_the_pages_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a workspace does not say leaves an option's own default in place, and no program dies of it."""
    monkeypatch.chdir(tmp_path)
    asked = CliRunner().invoke(app, ["history"])
    assert asked.exit_code == 0 and "Nothing has been judged yet" in asked.output, asked.exception
    named = said("retrain", "--sleeve", "equities_xs", "--data", str(tmp_path), "--run", str(tmp_path / "r"))
    assert "has no champion with a lineage" in named and str(Path("var/registry")) in named
    assert "no such folder" in said("trials", "--data", str(tmp_path / "mistyped"))


@pytest.mark.parametrize("content", ["curatoin: {min_history: 3}\n", "min_history: 3\n", "promotion: {}\nlineages: {}\n"])
def test_a_section_that_no_program_reads_is_refused(tmp_path: Path, content: str) -> None:
    """A mistyped name would leave the defaults in force without a word."""
    (tmp_path / "bars.yml").write_text(content)
    with pytest.raises(BadConfig, match="no section"):
        load_section(tmp_path / "bars.yml", "promotion", PromotionConfig)


@pytest.mark.parametrize("words", ["generate", "generate-minutes", "train --sleeve bars", "search --sleeve bars"])
def test_a_seed_below_0_is_refused_as_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    asked = CliRunner().invoke(app, [*words.split(), "--seed", "-1", "--to" if "generate" in words else "--data", "x"])
    assert asked.exit_code == 2 and isinstance(asked.exception, SystemExit) and "--seed" in asked.output, asked.exception


# The literal commands


def test_the_literal_commands_go_from_bars_to_a_published_bundle(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No option says where anything is; every default is printed; only what a person must decide is typed."""
    curate(home / "made")
    (home / "made" / "curated").rename(home / "data" / "us")
    recipe = RecipeConfig(
        lightgbm=LightGbmConfig(trees=8, num_leaves=7, min_data_in_leaf=100),
        cpcv=CpcvConfig(groups=4, test_groups=2, embargo_sessions=5, holdout_sessions=40),
        search=SearchConfig(startup_trials=2, lightgbm={"num_leaves": (3, 7)}),
    )
    (home / "recipes" / "equities_xs.yml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    monkeypatch.setattr(defaulting, "now", lambda: AT)

    def call(*words: str) -> str:
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, (words, done.output, done.exception)
        return done.output

    run = f"runs/2026-03-02-1704-equities_xs-lightgbm-{recipe.fingerprint()[:8]}"
    trained = call("train", "--sleeve", "equities_xs")
    used = [line for line in trained.splitlines() if line.startswith("using ")]
    assert used == ["using --data data/us", "using --config recipes/equities_xs.yml", f"using --run {run}"]
    assert f"Report: {run}/report.html" in trained
    assert json.loads((home / run / "evidence.json").read_text())["sleeve"] == "equities_xs"
    searched = call("search", "--sleeve", "equities_xs", "--trials", "2")
    assert "using --to runs/search-equities_xs" in searched and list((home / "runs" / "search-equities_xs").glob("best-*.yml"))
    assert "using --to keys" in call("keys")
    published = call("publish", "--role", "evaluation", "--run", run)
    assert [line for line in published.splitlines() if line.startswith("using ")] == [
        "using --keys keys",
        "using --to store",
        "using --registry registry",
    ]
    call("publish-data")
    assert (home / "store" / "data" / "manifest.json").exists() and (home / "store" / "equities_xs" / "evaluation" / "latest.json").exists()
