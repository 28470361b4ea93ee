"""The documents hold together: links, anchors, paths and make targets exist, and no line is wider than a screen."""

from __future__ import annotations

import re
import runpy
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.fakes.bars import synthetic_bars

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 160
HIDDEN = re.compile(r"(^|/)(\.|var/|build/|dist/|node_modules/)")
DOCUMENTS = sorted(
    path for path in ROOT.rglob("*.md") if not HIDDEN.search(path.relative_to(ROOT).as_posix())
)  # without git, so that an unpacked release can be checked too
OURS = re.compile(
    r"(?<![\w./-])((?:signals|portfolio|execution|trainer|appliance|tests|docs|configs|benchmarks|ansible|systemd|"
    r"requirements|demo)/[\w./*-]*)(?![\w{<])"
)


def prose(text: str) -> str:
    """The text without its blocks of code."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return re.sub(r"^    (?![ *]).*$", "", text, flags=re.M)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as hosts of repositories and `mkdocs.yml` make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+?)\s*$", prose(text), flags=re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        base = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        slug, again = base, 0
        while slug in found:
            again += 1
            slug = f"{base}-{again}"
        found.add(slug)
    return found


def broken_links(path: Path, text: str) -> Iterator[str]:
    """Every relative link or picture of a page whose file, or whose heading, does not exist."""
    for target in re.findall(r"\]\(([^()\s]+)\)", prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists() or not there.is_relative_to(ROOT):
            yield f"{target}: no such file"
        elif anchor and anchor not in anchors(text if there == path else there.read_text(encoding="utf-8")):
            yield f"{target}: no such heading"


def missing_paths(text: str) -> Iterator[str]:
    """Every path of this repository that a page names in code and that does not exist."""
    for code in re.findall(r"`([^`\n]+)`", text):
        for named in OURS.findall(code):
            named = named.rstrip("./")
            if "/" in named and not (any(ROOT.glob(named)) if "*" in named else (ROOT / named).exists()):
                yield named


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))


def test_there_are_documents_to_check() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
    assert {"README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/operations.md", "benchmarks/RESULTS.md"} <= names


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_line_is_wider_than_160_characters(path: Path) -> None:
    """But for rows of figures in `benchmarks`, which cannot be broken."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    figures = path.parent.name == "benchmarks"
    assert [number for number, line in lines if len(line) > WIDTH and not (figures and line.startswith("|"))] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(path: Path) -> None:
    assert list(broken_links(path, path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_path_or_a_make_target_that_a_page_names_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    called = re.findall(r"`make ([a-z-]+)", text) + re.findall(r"^ {4}make ([a-z-]+)", text, flags=re.M)
    assert sorted(set(called) - make_targets()) == []
    history = path.name == "CHANGELOG.md"  # it also names what is gone
    assert history or list(missing_paths(text)) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("[a](docs/nowhere.md)", ["docs/nowhere.md: no such file"]),
        ("[a](ARCHITECTURE.md#nowhere)", ["ARCHITECTURE.md#nowhere: no such heading"]),
        ("[a](#nowhere)", ["#nowhere: no such heading"]),
        ("![a](docs/screens/nowhere.png)", ["docs/screens/nowhere.png: no such file"]),
        ("[a](../outside.md)", ["../outside.md: no such file"]),
        ("[a](ARCHITECTURE.md#one-day), [b](#this-page)", []),
        ("    [a](docs/nowhere.md) in a block of code", []),
    ],
)
def test_a_broken_link_is_seen(line: str, found: list[str]) -> None:
    assert list(broken_links(ROOT / "README.md", f"# This page\n\n{line}\n")) == found


def test_a_vanished_path_is_seen() -> None:
    assert list(missing_paths("`signals/nowhere.py`, `configs/sleeves/*.yml`, `signals/errors.py`")) == ["signals/nowhere.py"]


def test_two_headings_of_one_name_have_two_anchors() -> None:
    assert anchors("# A `b`, c\n\n## A b c\n\n    # no heading\n") == {"a-b-c", "a-b-c-1"}


def test_the_newest_section_of_the_changelog_takes_entries_and_the_next_is_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), flags=re.M)
    assert version is not None
    sections = [part.partition("\n") for part in re.split(r"^## ", text, flags=re.M)[1:]]
    assert [title.split(" ")[0] for title, _, _ in sections][:2] == ["Unreleased", version[1]]
    for title, _, body in sections:
        assert re.findall(r"^### (.+)$", body, flags=re.M) == ["Added", "Changed", "Fixed"], title
        lines = re.findall(r"^\* .+$", body, flags=re.M)
        assert [line for line in set(lines) if lines.count(line) > 1] == [], title


def test_what_the_readme_shows_of_each_host_is_cut_from_the_recorded_demo() -> None:
    """Its figures are lines of `docs/demo.md`, not a second record that goes stale."""
    readme, demo = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/demo.md"))
    blocks = re.findall(r"^    \$ .+\n(?:    .+\n)+", readme, flags=re.M)
    shown = [line for block in blocks for line in block.splitlines() if not line.startswith("    $ ")]
    assert len(blocks) == 2 and len(shown) >= 12
    assert [line for line in shown if f"\n{line}\n" not in demo] == []


def test_the_model_of_the_readme_is_a_sleeve_with_a_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader copies runs: its features are computed, and the recipe fits that very sleeve."""
    pytest.importorskip("lightgbm", reason="recipes are not part of a device")
    from trainer.tasks.recipes import config_of

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    modules = []
    for source in re.findall(r"^```python\n(.*?)^```$", readme, flags=re.M | re.S):
        path = re.match(r"# (\S+)\.py\n", source)
        assert path is not None, "the first line names the file"
        module = ModuleType(path[1].replace("/", "."))
        exec(compile(source, path[1], "exec"), vars(module))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        modules.append(module)
    [sleeve] = (module.REVERSAL for module in modules)
    [document] = re.findall(r"^```yaml\n(sleeve: reversal\n.*?)^```$", readme, flags=re.M | re.S)
    recipe = config_of(yaml.safe_load(document), where="README.md")
    panel = sleeve.panel(synthetic_bars(1, sessions=40, symbols=5))
    assert panel.names[:2] == ("momentum_5", "zscore_20") and panel.values.shape[:2] == (40, 5)
    assert recipe.sleeve == sleeve.name and recipe.label.k == sleeve.horizon_sessions


def commands_of(node: object) -> Iterator[str]:
    """Every value of a key `run` or `entry`, wherever it is in a document."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key in ("run", "entry") and isinstance(value, str):
            yield value
        else:
            yield from commands_of(value)


def test_hooks_and_the_hosted_workflow_call_make_targets_that_exist_and_nothing_else() -> None:
    """One list of checks, `make`'s: both run `make test`, and the workflow prints coverage and builds the documents."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    hosted = {*matrix["target"], *(row["target"] for row in matrix["include"])}
    assert list(commands_of(workflow)) == ["make ${{ matrix.target }} PYTHON=python${{ matrix.python }}"]
    local = {command.removeprefix("make ") for command in commands_of(hooks)}
    assert local | hosted <= make_targets()
    assert "test" in local and {"test", "coverage-orders", "coverage-device", "docs"} <= hosted


def test_every_decision_has_its_number_its_parts_and_one_screen() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    numbers = [int(path.name[:4]) for path in decisions]
    assert numbers == list(range(1, len(numbers) + 1))
    for number, path in zip(numbers, decisions, strict=True):
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {number}. "), path.name
        assert re.findall(r"^\*\*([A-Z][a-z]+)\.\*\*", text, flags=re.M) == ["Context", "Decision", "Consequences"]
        assert len(text.splitlines()) <= 50, path.name


def test_every_page_of_the_site_is_a_document_and_none_is_lost() -> None:
    """`mkdocs.yml` names pages that exist; `docs/navigation.py` adds the decisions and whatever it does not name."""
    navigation = runpy.run_path(str(ROOT / "docs" / "navigation.py"))
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = yaml.safe_load(re.sub(r"!!python/\S+", "", settings))["nav"]
    assert {path for path in navigation["paths_in"](named) if not (ROOT / path).is_file()} == set()
    pages = ["docs/adr/0002-b.md", "docs/adr/README.md", "docs/adr/0001-a.md", "docs/new.md", "docs/training.md"]
    assert navigation["completed"](named, pages)[len(named) :] == [
        {"Decisions": ["docs/adr/README.md", "docs/adr/0001-a.md", "docs/adr/0002-b.md"]},
        {"More": ["docs/new.md"]},
    ]


def test_the_licence_is_the_one_that_the_package_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert project["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
