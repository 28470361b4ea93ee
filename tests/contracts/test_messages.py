"""No message is made of Python: what an error or an instant says to a person comes from `signals.text.wording`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("signals", "portfolio", "execution", "appliance", "trainer")
OURS = {node.name for node in ast.walk(ast.parse((ROOT / "signals/errors.py").read_text())) if isinstance(node, ast.ClassDef)} | {
    "RefusedByVenue",
    "NoDaemon",
    "BadDocument",
}  # an error of ours says itself
FOR_A_PROGRAM = {
    "signals/text/console.py": "the key `error` of the JSON document names the class",
    "signals/text/wording.py": "it is what makes the words",
    "signals/text/strict_json.py": "the text of json's own error, which is a sentence",
    "appliance/jobs/runner.py": "the figure `error` of a job's row names the class",
    "appliance/daemon/supervisor.py": "the log's field `error` is for whoever looks for the fault",
    "appliance/market/store.py": "a decision by the library's text, shown to nobody",
    "execution/exchange/core/state.py": "a fault of this program",
    "appliance/controls/latch.py": "an instant in what a hash is taken of",
    "appliance/safety/reductions.py": "an instant in what a hash is taken of",
    "appliance/commands/account_book.py": "an instant in the name of a row",
}


def kinds_of(annotation: ast.expr | None) -> set[str]:
    """The names in the type of an error."""
    nodes = ast.walk(annotation) if annotation is not None else ()
    return {node.id for node in nodes if isinstance(node, ast.Name)} - {"None"}


def foreign_errors(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Every name that an error of somebody else may have, with the lines in which it has it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.name and not kinds_of(node.type) <= OURS:
            yield node.name, node
        if isinstance(node, ast.FunctionDef):
            for argument in (*node.args.args, *node.args.kwonlyargs):
                kinds = kinds_of(argument.annotation)
                if argument.arg in ("error", "err", "exc", "failure") and kinds and not kinds <= OURS:
                    yield argument.arg, node


def is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def faults(source: str) -> list[str]:
    """What in `source` would show a person Python instead of words."""
    tree, found = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("__name__", "__qualname__"):
            found.add((node.lineno, "the name of a class"))
        if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Call):
            call = node.value
            if isinstance(call.func, ast.Attribute) and call.func.attr == "isoformat" and not (call.args or call.keywords):
                found.add((node.lineno, "an instant with its microseconds"))
    for name, within in foreign_errors(tree):
        for node in ast.walk(within):
            shown = isinstance(node, ast.FormattedValue) and is_name(node.value, name)
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("str", "repr")
            if shown or (called and node.args and is_name(node.args[0], name)):
                found.add((node.lineno, "the text of somebody else's error"))
    return [f"line {line}: {what}" for line, what in sorted(found)]


@pytest.mark.parametrize("package", PACKAGES)
def test_messages_are_made_of_words(package: str) -> None:
    found = {
        where: told
        for path in sorted((ROOT / package).rglob("*.py"))
        if (where := str(path.relative_to(ROOT))) not in FOR_A_PROGRAM and (told := faults(path.read_text()))
    }
    assert found == {}


def test_every_exception_is_still_one() -> None:
    assert [path for path in FOR_A_PROGRAM if not faults((ROOT / path).read_text()) and "wording" not in path] == []


PLANTED = {
    "a class": 'f"{type(error).__name__}: no"',
    "a repr": 'f"it could not be done: {error!r}"',
    "a text": 'f"it could not be done: {error}"',
    "a call": "str(error)",
    "an instant": 'f"no session had closed by {now.isoformat()}"',
}


@pytest.mark.parametrize("planted", PLANTED)
def test_each_of_them_is_found(planted: str) -> None:
    source = "try:\n    work()\nexcept (OSError, FixInput) as error:\n    raise FixInput({})\n"
    assert len(faults(source.format(PLANTED[planted]))) == 1
    assert faults(source.format('f"it could not be done: {reason_of(error)} at {utc_words(now)}"')) == []
    in_parameter = f"def _unreachable(error: OSError) -> FixInput:\n    return FixInput({PLANTED[planted]})\n"
    assert len(faults(in_parameter)) == 1
    if planted in ("a repr", "a text", "a call"):
        assert faults(source.replace("(OSError, FixInput)", "FixInput").format(PLANTED[planted])) == []
