"""The check of dependencies refuses what is declared and not imported, and what is imported and not declared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("deptry", reason="a device checks no dependencies")

PROJECT = """
[project]
name = "planted"
version = "1"
dependencies = ["rich", "pyyaml"]

[tool.deptry.package_module_name_map]
pyyaml = "yaml"
"""


def check(folder: Path) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "deptry", "."], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_dependency_too_many_and_one_too_few_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "program.py").write_text("import rich\nimport yaml\n")
    assert check(tmp_path)[0] == 0
    (tmp_path / "program.py").write_text("import rich\nimport onnx\n")
    code, said = check(tmp_path)
    assert code == 1 and "'pyyaml' defined as a dependency but not used" in said and "'onnx' imported but" in said
