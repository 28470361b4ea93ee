"""The layout of the source keeps its figures: few modules at a package's top, few exemptions, few untyped mappings."""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from benchmarks.house import PACKAGES, TOPS, exemptions, top_modules, untyped_mappings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("top", TOPS)
def test_no_package_keeps_more_than_eight_modules_at_its_top(top: str) -> None:
    assert len(top_modules(ROOT / top)) <= 8


def test_the_formatter_is_exempted_from_fewer_than_twenty_lines() -> None:
    assert exemptions(ROOT) < 20


def test_documents_are_typed_in_product_code() -> None:
    """Fewer than 60 lines have a mapping to `Any`; what crosses a wall is a frozen model or a `TypedDict`."""
    assert untyped_mappings(ROOT) < 60


def with_many_parameters(source: str, *, is_program: bool) -> list[str]:
    """Names of the functions with more than seven parameters, but for commands of a program, whose parameters are its options."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            is_command = is_program and not node.name.startswith("_") and ast.unparse(node.returns or ast.Constant(0)) == "None"
            if len(names) - (names[:1] in (["self"], ["cls"])) > 7 and not is_command:
                found.append(node.name)
    return found


def test_functions_with_more_than_seven_parameters_take_a_frozen_value() -> None:
    found = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        is_program = "commands" in path.parts or path.name == "__main__.py"
        if names := with_many_parameters(path.read_text(encoding="utf-8"), is_program=is_program):
            found[path.relative_to(ROOT).as_posix()] = names
    assert found == {}


def test_a_function_with_eight_parameters_is_found_and_a_command_is_not() -> None:
    eight = "def {}(a, b, c, d, *, e, f, g, h) -> {}: ...\n"
    assert with_many_parameters(eight.format("many", "int"), is_program=True) == ["many"]
    assert with_many_parameters(eight.format("_many", "None"), is_program=True) == ["_many"]
    assert with_many_parameters(eight.format("command", "None"), is_program=True) == []
    assert with_many_parameters(eight.format("command", "None"), is_program=False) == ["command"]
    assert with_many_parameters("class A:\n    def seven(self, a, b, c, d, e, f, g): ...\n", is_program=False) == []


def lines_of_statements(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function after its signature and its docstring."""
    begin = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - begin[0].lineno + 1 if begin else 0


def longest(paths: Iterable[Path]) -> tuple[int, str]:
    """Lines of the longest function of some files, and which it is."""
    return max(
        (lines_of_statements(node), f"{path}: {node.name}")
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_no_function_is_longer_than_a_screen(tmp_path: Path) -> None:
    """55 lines; a list of options and a docstring do not count."""
    lines, name = longest(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    assert lines <= 55, name
    planted = tmp_path / "long.py"
    planted.write_text('def long(\n    a,\n):\n    """Said."""\n' + "    a = 1\n" * 56)
    assert longest([planted]) == (56, f"{planted}: long")


def annotations_in(tree: ast.Module) -> Iterator[ast.expr]:
    """Every annotation of a module."""
    for node in ast.walk(tree):
        found = getattr(node, "annotation", None) if isinstance(node, ast.arg | ast.AnnAssign) else getattr(node, "returns", None)
        if found is not None:
            yield found


def looks_forward(source: str) -> bool:
    """Whether an annotation names a class that is not made yet, or an import that only a type checker makes."""
    tree, made = ast.parse(source), dict[str, int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            made[node.name] = node.end_lineno or 0
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            names = [one.asname or one.name for given in node.body if isinstance(given, ast.Import | ast.ImportFrom) for one in given.names]
            made |= dict.fromkeys(names, 1_000_000)
    every = (name for annotation in annotations_in(tree) for name in ast.walk(annotation))
    return any(isinstance(name, ast.Name) and name.lineno <= made.get(name.id, 0) for name in every)


def test_the_future_import_of_annotations_is_only_where_one_looks_forward() -> None:
    future = "from __future__ import annotations\n"
    texts = {path: path.read_text(encoding="utf-8") for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert [str(path) for path, text in texts.items() if future in text and not looks_forward(text)] == []
    assert looks_forward("class A:\n    def of(self) -> A: ...\n") and not looks_forward("class A: ...\ndef of() -> A: ...\n")
    assert looks_forward("if TYPE_CHECKING:\n    from a import B\ndef of(b: B | None): ...\n")


def floors() -> dict[str, list[set[str]]]:
    """Rooms of each package from the top floor to the bottom, as the import contracts have them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = {one["containers"][0]: one["layers"] for one in contracts if one.get("containers")}
    return {package: [set(floor.split(" | ")) - {"__main__"} for floor in layers[package]] for package in PACKAGES}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_architecture_lists_every_room_from_the_top_floor_to_the_bottom(package: str) -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split(f"* `{package}`: ")[1].split("\n* ")[0].split("\n\n")[0]
    listed = [re.findall(r"`(\w+)`", floor) for floor in text.split(";")]
    wanted = [floor for floor in floors()[package] if floor]
    assert [floor <= set(names) for floor, names in zip(wanted, listed, strict=True)] == [True] * len(wanted)


def test_the_counters_count(tmp_path: Path) -> None:
    """A module, an exemption and an untyped mapping are seen where they are planted."""
    room = tmp_path / "signals"
    room.mkdir()
    for name in ("__init__", "one", "two"):
        (room / f"{name}.py").write_text("x: dict[str, Any] = {}  # fmt: " + "skip\n" if name == "two" else "")
    assert [path.stem for path in top_modules(room)] == ["one", "two"]
    assert (exemptions(tmp_path), untyped_mappings(tmp_path)) == (1, 1)
