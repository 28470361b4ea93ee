"""Every program ends with the code of what must be done next, and one sentence that says it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from signals.config import Config, parse
from signals.errors import BadConfig, BundleRefused, DataNotUsable, TrademlError
from signals.text.console import run
from trainer.__main__ import app
from trainer.curation.config import CurationConfig, read_config

BARS = "date,symbol,open,high,low,close,volume\n2021-06-07,AAA,1,1,1,1,1\n2021-06-08,AAA,1,1,1,1,1\n"


def ending(app: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and standard error of a program."""
    with pytest.raises(SystemExit) as ended:
        run(app)
    assert isinstance(ended.value.code, int)
    return ended.value.code, capsys.readouterr().err


def failing(error: BaseException) -> Callable[[], object]:
    def program() -> None:
        raise error

    return program


def test_one_who_ends_a_command_before_its_work_began_reads_so(capsys: pytest.CaptureFixture[str]) -> None:
    """The command-line library ends with 130 on Ctrl-C and says nothing; another end of its own is left alone."""
    assert ending(failing(SystemExit(130)), capsys) == (130, "ended by a person. Run the same command again\n")
    assert ending(failing(SystemExit(2)), capsys) == (2, "")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BadConfig("wrong"), 2, "wrong\n"),
        (DataNotUsable("RED"), 3, "RED\n"),
        (BundleRefused("expired"), 6, "expired\n"),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/a/b"),
            2,
            "Permission denied (/a/b). Correct the path, the port or the permission\n",
        ),
        (
            OSError(errno.EROFS, os.strerror(errno.EROFS), "/a"),
            2,
            "Read-only file system (/a). Correct the path, the port or the permission\n",
        ),
        (
            OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)),
            2,
            "Address already in use. Correct the path, the port or the permission\n",
        ),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a"),
            71,
            "No space left on device (/a). Free or repair what failed, then run it again\n",
        ),
        (
            OSError(errno.EIO, os.strerror(errno.EIO), "/a", None, "/b"),
            71,
            "Input/output error (/a to /b). Free or repair what failed, then run it again\n",
        ),
        (MemoryError(), 71, "not enough memory. Close other programs, or use a machine with more\n"),
    ],
)
def test_the_code_says_who_must_act_in_one_sentence(error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(failing(error), capsys) == (code, said)


def test_what_nobody_expected_is_70_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ending(failing(ZeroDivisionError("division by zero")), capsys)
    assert code == 70
    assert said.startswith("Traceback")
    assert said.endswith("a fault of this program: division by zero. Report it with the lines above\n")


def test_a_verdict_of_the_program_itself_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(failing(SystemExit(1)), capsys) == (1, "")


def test_a_program_that_reads_json_is_given_the_refusal_as_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["trainer", "audit", "--json"])
    with pytest.raises(SystemExit):
        run(failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a")))
    said = json.loads(capsys.readouterr().out)
    assert (said["error"], said["what"], said["where"]) == ("MachineFailed", "No space left on device", "/a")


@pytest.mark.parametrize(("to", "said"), [("bars.csv/us", "Not a directory"), ("/proc/us", "No such file or directory")])
def test_a_folder_that_cannot_be_made_is_one_line(to: str, said: str, tmp_path: Path) -> None:
    """The real program, whose file system refuses the dataset's folder."""
    (tmp_path / "bars.csv").write_text(BARS)
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "ingest", "--bars", "bars.csv", "--to", to],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.startswith(said)


# configuration


@pytest.mark.parametrize(
    "section",
    [
        {"min_history": -3},
        {"min_history": 0},
        {"min_symbols": -1},
        {"survivor_years": -2},
        {"coverage": {"min_usable_share": 1.5}},
        {"coverage": {"expected_sessions": -1}},
        {"defects": {"extreme_rise": -2}},
        {"defects": {"body_tolerance": float("nan")}},
        {"defects": {"stale_rows": 0}},
    ],
)
def test_a_threshold_without_a_meaning_is_refused(section: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_text(BARS)
    (tmp_path / "c.yml").write_text(yaml.safe_dump({"curation": section}))
    said = CliRunner().invoke(
        app, ["ingest", "--bars", str(tmp_path / "bars.csv"), "--config", str(tmp_path / "c.yml"), "--to", str(tmp_path / "us")]
    )
    assert isinstance(said.exception, BadConfig)
    assert next(iter(section)) in str(said.exception)
    assert not (tmp_path / "us").exists()


def test_an_unknown_key_is_answered_with_the_keys_of_its_own_section() -> None:
    with pytest.raises(BadConfig) as refused:
        parse({"defects": {"stalerows": 3}}, CurationConfig, where="c.yml: curation")
    assert str(refused.value) == (
        "unknown key defects.stalerows (c.yml: curation). Known keys: body_tolerance, extreme_fall, extreme_rise, "
        "split_dollar_volume, split_tolerance, stale_rows"
    )
    with pytest.raises(BadConfig, match=r"unknown key mini .*Known keys: all_assets, coverage, defects"):
        parse({"mini": 3}, CurationConfig, where="c.yml")


def test_a_key_of_the_eligibility_rule_that_is_unknown_is_answered_with_those_of_the_rule(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("curation: {eligibility: {min_prise: 5}}")
    keys = "exit_dollar_volume, exit_price, min_dollar_volume, min_price"
    with pytest.raises(BadConfig, match=rf"unknown key eligibility.min_prise .*Known keys: {keys}$"):
        read_config(tmp_path / "c.yml")


@pytest.mark.parametrize(
    "content", [b"- curation", b"curation: [1]", b"curation: \xff", b"[" * 5_000], ids=["list", "list of one", "no UTF-8", "deep"]
)
def test_a_configuration_of_another_shape_is_refused_and_never_read_as_the_defaults(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.yml").write_bytes(content)
    with pytest.raises(BadConfig, match=r"mapping of keys to values|not valid YAML"):
        read_config(tmp_path / "c.yml")
    (tmp_path / "c.yml").write_bytes(b"promotion: {}")
    assert read_config(tmp_path / "c.yml") == read_config(None)


class Inner(Config):
    a: int = 1


class Outer(Config):
    inners: list[Inner] = []  # noqa: RUF012 - a value that pydantic copies
    maybe: Inner | None = None


@pytest.mark.parametrize("content", [{"inners": [{"b": 1}]}, {"maybe": {"b": 1}}])
def test_sections_in_lists_and_optional_ones_have_their_own_keys(content: dict[str, object]) -> None:
    with pytest.raises(BadConfig, match=r"Known keys: a$"):
        parse(content, Outer, where="c.yml")


def test_a_delivery_of_which_nothing_is_kept_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_text(BARS.replace(",1,1,1,1,1", ",0,0,0,0,1"))
    said = CliRunner().invoke(app, ["ingest", "--bars", str(tmp_path / "bars.csv"), "--to", str(tmp_path / "us")])
    assert isinstance(said.exception, TrademlError)
    assert said.exception.exit_code == 2
    assert "none of the 2 rows can be kept (non_positive_price: 2" in str(said.exception)
    assert not (tmp_path / "us").exists()
