"""`trainer frontier`: the published example, an efficient curve, a picture, and one clear error."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from execution.planning.slicing import MarketImpact
from signals.errors import FixInput
from trainer.__main__ import app
from trainer.reports.frontier import points_of

PAPER = MarketImpact(0.948683, 2.5e-6, 2.5e-7, 0.0625)


def test_the_published_example_lies_on_the_frontier() -> None:
    """lambda = 1e-6 costs 910,478 USD with a variance of 3.63868e11; TWAP costs 662,500 USD, 1.08e12."""
    even, low, paper, _ = points_of(1e6, 5, 5, PAPER, 1e-7, 1e-5, 3)
    assert even.expected_cost == pytest.approx(662_500) and even.variance == pytest.approx(1.08e12, rel=1e-6)
    assert paper.expected_cost == pytest.approx(910_477.8, abs=0.5)
    assert paper.variance == pytest.approx(3.63868e11, rel=1e-5)
    assert paper.urgency == pytest.approx(5 * 0.6063, abs=5e-4) and even.urgency == 0.0
    assert paper.first_slice == pytest.approx(1 - 0.5423807, abs=1e-6) and low.first_slice > even.first_slice


def test_less_risk_is_never_free() -> None:
    found = points_of(-50_000, 1, 6, PAPER, 1e-9, 1e-3, 60)
    for cheaper, safer in itertools.pairwise(found):
        assert safer.variance < cheaper.variance and safer.expected_cost > cheaper.expected_cost


def test_the_command_draws_and_tells(tmp_path: Path) -> None:
    picture = tmp_path / "frontier.png"
    done = CliRunner().invoke(app, ["frontier", "--to", str(picture), "--points", "5", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert len(told["points"]) == 6 and told["to"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    again = tmp_path / "again.png"
    CliRunner().invoke(app, ["frontier", "--to", str(again), "--points", "5"])
    assert again.read_bytes() == picture.read_bytes()


@pytest.mark.parametrize("wrong", [["--points", "1"], ["--lowest", "0"], ["--shares", "0"], ["--gamma", "1"]])
def test_an_impossible_order_is_one_clear_error(wrong: list[str], tmp_path: Path) -> None:
    picture = tmp_path / "frontier.png"
    done = CliRunner().invoke(app, ["frontier", "--to", str(picture), *wrong])
    assert isinstance(done.exception, FixInput) and not picture.exists()
