"""What a device's processes load: no learner anywhere, and no frame library where it scores (D16)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEARNERS = ["torch", "lightgbm", "catboost", "xgboost", "sklearn", "optuna", "mlflow", "onnx", "onnxmltools", "skl2onnx"]
FRAMES = ["pandas", "pyarrow", "polars", "alpaca", "exchange_calendars", "matplotlib", "apscheduler", "boto3"]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "appliance").rglob("*.py") if path.name != "__init__.py"
)


def loaded(program: str) -> set[str]:
    """Top-level modules in a fresh process after `program`."""
    tail = "\nimport json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", program + tail], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_every_module_of_the_device_loads_no_learner() -> None:
    assert "appliance.__main__" in MODULES and len(MODULES) > 50
    found = loaded("import importlib\nfor name in " + repr(MODULES) + ": importlib.import_module(name)")
    assert not found & set(LEARNERS)


def test_importing_every_command_of_the_training_host_loads_no_learner() -> None:
    """The base package has the program too: its help and its errors work where nothing that learns is installed."""
    begin = "from importlib import import_module\nfrom trainer.__main__ import Commands\n"
    found = loaded(f"{begin}for name in Commands.MODULES: import_module(name)")
    assert not found & {*LEARNERS, "matplotlib"}


@pytest.mark.parametrize(("module", "counts"), [("jobs.score", True), ("jobs.plan", True), ("commands.command_line", False)])
def test_scoring_planning_and_the_command_line_load_no_frame_library(module: str, counts: bool) -> None:
    """The command line reads the settings, and none of what computes by them."""
    found = loaded(f"import appliance.{module}")
    assert not found & {*LEARNERS, *FRAMES}
    assert ("numpy" in found) is counts


def test_a_command_loads_its_own_module_alone() -> None:
    """A halt does not wait for the libraries of a replay."""
    begin = "import sys\nfrom appliance.__main__ import main\nsys.argv = ['appliance', 'halt', '--help']\n"
    program = f"{begin}try: main()\nexcept SystemExit: pass\n"
    asked = "assert [name for name in sys.modules if name.startswith('appliance.commands.')] == "
    loaded(f"{program}{asked}['appliance.commands.tui', 'appliance.commands.command_line', 'appliance.commands.halt_and_rearm']")


def test_a_device_of_daily_sleeves_loads_no_indicator_of_minutes() -> None:
    program = "import appliance.jobs.score, appliance.jobs.pull\nfrom signals.sleeves import SLEEVES\nSLEEVES['equities_xs'].variants\n"
    asked = "import sys; assert 'signals.indicators.catalogue' not in sys.modules\nassert SLEEVES['bars'].name == 'bars'\n"
    loaded(f"{program}{asked}assert 'signals.indicators.catalogue' in sys.modules")


def test_the_screens_of_a_device_load_neither_numbers_nor_settings_libraries() -> None:
    """Their memory is held to 80 MB: these would add 22."""
    found = loaded("import appliance.tui.__main__, appliance.tui.screens, appliance.tui.ledger_source")
    assert not found & {*LEARNERS, *FRAMES, "numpy", "pydantic", "typer", "duckdb"}
    assert "textual" in found


def test_the_clock_of_the_system_is_asked_in_one_place() -> None:
    guilty = [
        str(path) for path in (ROOT / "appliance").rglob("*.py") if path.name != "clock.py" and "SystemClock().now()" in path.read_text()
    ]
    persons = ["halt_and_rearm.py", "kill_switch.py", "ledger_backups.py", "status.py", "unit_failure.py"]
    assert sorted(Path(name).name for name in guilty) == sorted([*persons, "log.py", "time_sync.py"])
