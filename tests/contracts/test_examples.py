"""The examples in docstrings, and the page of functions for a notebook, say what the code does."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from execution import attribution
from portfolio import factors
from signals.monitoring import running_stats, sequential
from signals.scoring import scores
from trainer.curation.deliveries import known

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebook.md"


@pytest.mark.parametrize("module", [attribution, factors, known, scores, sequential, running_stats], ids=lambda module: module.__name__)
def test_the_examples_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.failed == 0 and result.attempted > 0


def test_every_function_that_the_notebook_page_names_is_there_and_gives_the_published_number() -> None:
    pytest.importorskip("onnx", reason="the page names what trains, which a device lacks")
    text = NOTEBOOK.read_text(encoding="utf-8")
    result = doctest.testfile(str(NOTEBOOK), module_relative=False)
    assert result.failed == 0
    assert result.attempted == text.count(">>> ") > 40


def test_a_function_that_is_gone_fails_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(">>> from trainer.validation.significance.dsr import no_such_ratio\n", encoding="utf-8")
    assert doctest.testfile(str(page), module_relative=False, verbose=False).failed == 1
