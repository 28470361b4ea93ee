"""Rules about the source itself that no linter knows."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("signals", "portfolio", "execution", "trainer", "appliance")
DEVICE = ("signals", "portfolio", "execution", "appliance")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# Who may ask what time it is: the real clock, the exchange's wall clock, and the trainer's stamp on a run.
CLOCKS = {"appliance/system/clock.py", "execution/exchange/core/clock.py", "trainer/clock.py"}
# Calls that would make the core depend on the moment or the machine.
IMPURE = re.compile(
    r"^(datetime\.(datetime\.)?(now|utcnow|today)|date\.today|time\.time|time\.time_ns|os\.environ(\.\w+)?|os\.getenv|"
    r"np\.random\.(seed|rand|randn|normal|uniform|choice|randint|shuffle|permutation)|"
    r"random\.(random|seed|choice|randint|shuffle|uniform|gauss))$"
)
UNPICKLING = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}


def dotted(node: ast.AST) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def impure_uses(source: str) -> list[str]:
    """`line name` of every use of the clock, of global randomness or of the environment."""
    found = []
    for node in ast.walk(ast.parse(source)):
        name = dotted(node)
        if IMPURE.match(name):
            found.append(f"{getattr(node, 'lineno', 0)} {name}")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_time_chance_and_environment_are_arguments(package: str) -> None:
    """Only the clock modules ask the machine for the time; nothing uses global randomness, only settings the environment."""
    programs = {"signals/settings.py", "execution/exchange/__main__.py", "appliance/daemon/__main__.py", "appliance/tui/__main__.py"}
    allowed = CLOCKS | {f"{p}/__main__.py" for p in PACKAGES} | programs
    guilty = [
        f"{path.relative_to(ROOT)}:{use}"
        for path in SOURCES
        if path.relative_to(ROOT).parts[0] == package and str(path.relative_to(ROOT)) not in allowed
        for use in impure_uses(path.read_text(encoding="utf-8"))
    ]
    assert guilty == []


def test_the_detector_of_impure_calls_sees_them() -> None:
    sample = "import os, random, datetime\nx = datetime.datetime.now()\ny = os.environ['A']\nz = random.random()\n"
    assert impure_uses(sample) == ["2 datetime.datetime.now", "3 os.environ", "4 random.random"]


@cache
def guilty_lines(path: Path) -> tuple[list[int], list[int]]:
    """Of one reading of a file: its bare writes, and what unpickles or evaluates."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return bare_writes(tree), evaluating(tree)


def test_no_test_file_outgrows_its_idea() -> None:
    """450 lines, as of a source file: what several files use is in `tests/fakes` or a conftest."""
    lines = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").count("\n") for path in (ROOT / "tests").rglob("*.py")}
    assert {path: count for path, count in lines.items() if count > 450} == {}


def test_no_file_outgrows_its_idea() -> None:
    """No source file over 450 lines; no magnet names."""
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in SOURCES}
    assert len(lines) > 600 and [str(path) for path, count in lines.items() if count > 450] == []
    magnets = r"(utils?|helpers?|common|misc|tools|manager|handlers?)\.py"
    assert [str(path) for path in lines if re.fullmatch(magnets, path.name)] == []


def bare_writes(tree: ast.Module) -> list[int]:
    """Lines that open a file for writing by themselves."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = dotted(node.func) or getattr(node.func, "attr", "")
            modes = [a.value for a in [*node.args, *[k.value for k in node.keywords]] if isinstance(a, ast.Constant)]
            writes = any(isinstance(m, str) and re.fullmatch(r"[wax]b?\+?", m) for m in modes)
            if (called in ("open", "io.open") and writes) or called.rpartition(".")[2] in ("write_text", "write_bytes"):
                found.append(node.lineno)
    return sorted(found)


def test_state_is_written_atomically() -> None:
    """No bare open-for-writing outside `signals/files.py`: `write_atomic` is used."""
    assert bare_writes(ast.parse("open('b', 'w')\nopen('b')\nfolder.write_text('b')\n")) == [1, 3]
    own = ROOT / "signals" / "files.py"
    assert {str(path): lines for path in SOURCES if path != own and (lines := guilty_lines(path)[0])} == {}


def evaluating(tree: ast.Module) -> list[int]:
    """Lines that unpickle, evaluate a text, or import what does."""
    found = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module.split(".")[0]]
        elif isinstance(node, ast.Call) and (
            dotted(node.func) in ("eval", "exec", "torch.load")
            or any(k.arg == "allow_pickle" and isinstance(k.value, ast.Constant) and k.value.value for k in node.keywords)
        ):
            found.append(node.lineno)
        if UNPICKLING & set(names):
            found.append(node.lineno)  # type: ignore[attr-defined]
    return sorted(found)


def test_nothing_on_the_device_can_unpickle_or_evaluate() -> None:
    sample = "import pickle\neval('1')\nfrom joblib import load\nnp.load('a', allow_pickle=True)\nnp.load('a', allow_pickle=False)\n"
    assert evaluating(ast.parse(sample)) == [1, 2, 3, 4]
    device = [path for path in SOURCES if path.relative_to(ROOT).parts[0] in DEVICE]
    assert len(device) > 400 and {str(path): lines for path in device if (lines := guilty_lines(path)[1])} == {}


def test_every_direct_dependency_is_locked_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = {
        "device": project["project"]["dependencies"],
        "trainer": project["project"]["dependencies"] + project["project"]["optional-dependencies"]["trainer"],
        "device-test": project["project"]["dependencies"] + project["dependency-groups"]["test"],
        "dev": [r for r in project["dependency-groups"]["dev"] if isinstance(r, str)],
    }
    for lock, requirements in named.items():
        text = (ROOT / "requirements" / f"{lock}.txt").read_text()
        locked = {line.split("==")[0].split("[")[0].strip() for line in text.splitlines() if "==" in line}
        wanted = {re.split(r"[<>=\[ ]", r)[0].lower().replace("_", "-") for r in requirements}
        assert wanted <= locked, f"{lock}: {sorted(wanted - locked)} not locked; run `make locks`"
        entries = re.findall(r"^\S+==.*?(?=^\S|\Z)", text, flags=re.M | re.S)
        assert all("--hash=sha256:" in entry for entry in entries)


def test_no_registry_host_is_named_anywhere() -> None:
    hosts = re.compile("|".join((r"py" r"pi\.org", r"deb" r"ian\.org", r"npm" r"js\.", r"python" r"hosted")))
    guilty = [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*")
        if path.is_file()
        and not {".git", "var", "__pycache__"} & set(path.parts)
        and not any(part.startswith(".venv") or part.endswith((".egg-info", "_cache")) for part in path.parts)
        and path.suffix in ("", ".py", ".md", ".txt", ".toml", ".yml", ".yaml", ".in", ".sh", ".service", ".sql")
        and hosts.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert guilty == []


# Rooms that hold one noun many times: their listing is the index.
KINDS = {
    "appliance/commands",
    "appliance/jobs",
    "appliance/ledger",
    "appliance/views",
    "appliance/tui",
    "appliance/daemon",
    "appliance/orders",
    "signals/features",
    "signals/indicators",
    "signals/bundle",
    "signals/market",
    "trainer/commands",
    "trainer/learners",
    "trainer/backtest",
    "trainer/curation",
    "trainer/curation/vendors",
    "trainer/promotion/bars",
    "trainer/tasks",
    "execution/exchange/core",
}


def crowded(most: int) -> set[str]:
    """Folders with more than `most` modules of their own, `__init__` and `__main__` not counted."""
    folders = {path.parent for path in SOURCES}
    own = {folder: [p for p in folder.glob("*.py") if not p.stem.startswith("__")] for folder in folders}
    return {folder.relative_to(ROOT).as_posix() for folder, modules in own.items() if len(modules) > most}


def test_a_stranger_finds_an_idea_from_the_listing() -> None:
    """No package keeps more than ten modules at its top, but for the rooms of one kind of thing, and those exist."""
    assert crowded(10) <= KINDS
    assert all((ROOT / room).is_dir() for room in KINDS)


def test_no_two_classes_of_the_stages_and_the_trainer_share_a_name() -> None:
    """One word, one meaning: a class name of these packages is defined once."""
    names = [
        (node.name, path)
        for path in SOURCES
        if path.relative_to(ROOT).parts[0] in ("signals", "portfolio", "execution", "trainer")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    ]
    seen = [name for name, _ in names]
    assert sorted({name for name in seen if seen.count(name) > 1}) == []


WRITTEN_IMPORT = re.compile(rf"^from ((?:{'|'.join(PACKAGES)})(?:\.\w+)*) import ([\w, ]+)$", re.MULTILINE)


@cache
def bound_names(file: Path) -> set[str]:
    """Every name that a module defines, assigns or imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return found


def missing_imports(text: str) -> list[str]:
    """Every import of this project, written in a text, of a module that is not there or a name that it does not hold."""
    found = []
    for module, names in WRITTEN_IMPORT.findall(text):
        place = ROOT.joinpath(*module.split("."))
        file = next((f for f in (place.with_suffix(".py"), place / "__init__.py") if f.exists()), None)
        for name in (word.split()[0] for word in names.split(",")):
            is_module = (place / f"{name}.py").exists() or (place / name / "__init__.py").exists()
            if file is None or not (is_module or name in bound_names(file)):
                found.append(f"{module}.{name}")
    return found


def test_programs_that_tests_and_benchmarks_pass_to_a_child_import_what_is_there() -> None:
    """They are text to every other check: a module that moves leaves them behind."""
    files = [path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    guilty = {str(path.relative_to(ROOT)): missing_imports(path.read_text(encoding="utf-8")) for path in files}
    assert {path: found for path, found in guilty.items() if found} == {}
    gone = "import sys" + "\nfrom appliance.market import Market\nfrom signals.errors import TrademlError, Nothing\n"
    assert missing_imports(gone) == ["appliance.market.Market", "signals.errors.Nothing"]
