"""The device's API shows what the commands show, and nothing that it serves can be reached by the daemon."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from appliance.ledger import AccessMode, Ledger
from appliance.serving.api import operations, page
from appliance.tui.demo import build
from appliance.tui.ledger_source import LedgerSource
from appliance.views import blotter, performance, signal_table
from signals.serving.application import Api
from tests.fakes.screens import NOW, StoppedClock
from tests.fakes.serving import TOKEN, ask

ROOT = Path(__file__).resolve().parents[3]
D = date(2026, 3, 12)
LISTED = (
    "positions",
    "blotter",
    "signals",
    "tripwires",
    "performance",
    "orders",
    "trades",
    "expectation",
    "bundle",
    "events",
    "outcomes",
    "log",
    "search",
    "symbols/SXSN",
)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("served"), seed=7, sessions=12).folder


@pytest.fixture(scope="module")
def served(device: Path) -> Api:
    return Api("appliance", "1", operations(LedgerSource(device, StoppedClock(NOW))), TOKEN, page())


def document(served: Api) -> Any:
    return ask(served, "/openapi.json", headers={}).json()


@pytest.mark.parametrize("path", ["health", "overview", *LISTED])
def test_every_answer_is_of_the_shape_that_the_document_says(served: Api, path: str) -> None:
    described = document(served)["paths"]["/v1/symbols/{symbol}" if path.startswith("symbols") else f"/v1/{path}"]
    answer = ask(served, f"/v1/{path}")
    assert answer.status_code == 200, answer.text
    jsonschema.validate(answer.json(), described["get"]["responses"]["200"]["content"]["application/json"]["schema"])


def test_rows_are_those_of_the_views(served: Api, device: Path) -> None:
    with Ledger(device / "ledger.sqlite", AccessMode.READ) as ledger:
        views = {
            "blotter": blotter.blotter(ledger, D),
            "signals": signal_table.signals(ledger, D),
            "performance?sessions=5": performance.performance(ledger, D, 5),
        }
    for path, view in views.items():
        found = ask(served, f"/v1/{path}").json()
        assert (found["session"], tuple(found["columns"])) == ("2026-03-12", view.columns)
        assert found["rows"] == json.loads(json.dumps(view.rows, default=str)) and len(found["rows"]) >= 5


def test_a_session_is_named_and_its_neighbours_are_told(served: Api) -> None:
    found = ask(served, "/v1/blotter?session=2026-03-11").json()
    assert (found["session"], found["before"], found["after"]) == ("2026-03-11", "2026-03-10", "2026-03-12")


def test_a_symbol_of_which_nothing_is_known_is_not_found(served: Api) -> None:
    assert ask(served, "/v1/symbols/NOPE").status_code == 404
    assert ask(served, "/v1/symbols/%27%3B--").status_code == 404


def test_a_device_that_is_none_is_down_and_says_what_to_do(tmp_path: Path) -> None:
    gone = Api("appliance", "1", operations(LedgerSource(tmp_path, StoppedClock(NOW))), TOKEN)
    assert ask(gone, "/v1/health").json()["status"] == "down"
    answer = ask(gone, "/v1/blotter")
    assert answer.status_code == 503 and "appliance init" in answer.json()["fix"]


def test_reading_changes_no_byte_of_the_device(served: Api, device: Path) -> None:
    def content() -> dict[str, bytes]:
        return {
            str(path): path.read_bytes()
            for path in sorted(device.rglob("*"))
            if path.is_file() and not path.name.endswith(("-shm", "-wal"))
        }

    before = content()
    for path in ("overview", *LISTED):
        ask(served, f"/v1/{path}")
    assert content() == before


def test_the_files_of_the_page_fetch_nothing_from_elsewhere_and_parse_no_text_as_markup() -> None:
    for path, file in page().items():
        text = file.content.decode()
        assert "//" not in text.replace("http://www.w3.org/2000/svg", "").replace("// ", "") or path == "/icon.svg", path
        assert not any(
            word in text for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", 'style="', "onclick=")
        ), path


def test_neither_the_daemon_nor_its_jobs_can_import_the_server() -> None:
    program = (
        "import appliance.daemon.__main__, appliance.jobs.runner, sys;"
        " print([name for name in sys.modules if 'serving' in name or name.startswith(('starlette', 'uvicorn'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
