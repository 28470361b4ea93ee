"""How large a device's book is: by the evidence of its bundle, or by what a person declared, and it says which."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from signals.bundle import Part
from signals.bundle.manifest import InformationCoefficient
from tests.fakes import bundles
from tests.fakes.device import Workbench
from tests.fakes.store import Published, publish_bundle, recipe

IC = InformationCoefficient(mean=0.03, t=4.0, standard_error=0.0075)
NEVER = b"{}"  # the evidence of a bundle that an older trainer made


@pytest.fixture
def planned(own_store: Published, tmp_path: Path) -> Callable[..., tuple[Workbench, dict[str, object], str]]:
    """Publish a bundle with this evidence, trade one session of it, and return the device, the plan and the report."""

    def trade(evidence: bytes, *, accepted: bool = False) -> tuple[Workbench, dict[str, object], str]:
        of = recipe(own_store.root / "data", own_store.last_training, seq=2).but(ic=IC)
        publish_bundle(own_store.root, of.but(files={**of.files, "evidence.json": (Part.EVIDENCE, evidence)}))
        (tmp_path / "configs").mkdir()
        (tmp_path / "configs" / "appliance.yml").write_text(f"accept_unproven: {str(accepted).lower()}\n")
        bench, day = Workbench(tmp_path / "device"), str(own_store.sessions(1)[0])
        for command in (
            (
                "init",
                "--venue",
                "exchange",
                "--store",
                str(own_store.root),
                "--trust",
                str(own_store.trust),
                "--configs",
                str(tmp_path / "configs"),
            ),
            ("arm", "--session", day, "--yes"),
            ("run-day", "--session", day),
        ):
            done = bench(*command)
            assert done.code == 0, done.err + done.out
        [(summary, figures)] = bench.rows("SELECT summary, figures FROM job_runs WHERE job = 'plan'")
        report = (bench.state / "reports" / f"report_{day}.md").read_text()
        return bench, {**json.loads(figures), "summary": summary, "day": day}, report

    return trade


def target_gross(plan: dict[str, object]) -> float:
    return float(dict(plan["decisions"])["target gross"])  # type: ignore[call-overload]  # pairs


def test_a_book_with_evidence_is_as_large_as_that_supports(planned: Callable[..., tuple]) -> None:
    """t 2: three quarters of what Kelly and the caps allow."""
    bench, plan, report = planned(bundles.evidence_file(t=2.0))
    decisions = dict(plan["decisions"])
    assert plan["sized_by"] == "evidence: 0.7500 of the book that Kelly and the caps allow"
    assert decisions["scale"].endswith("times 0.7500 for its evidence")
    bounds = [float(part.rsplit(" ", 1)[1]) for part in decisions["bounds of the scale"].split(", ")]
    assert target_gross(plan) == pytest.approx(0.75 * min(bounds), rel=0.02)
    assert plan["orders"] and "Not sized by evidence" not in report and "bounds of the scale" in report
    shown = {row["fact"]: row["value"] for row in bench("bundle", "--json").json["rows"]}
    assert shown["supports"] == "0.75 of the book that Kelly and the caps allow"


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        (bundles.evidence_file(t=0.6), "the net walk-forward book's t of 0.60 is not above 1"),
        (NEVER, "the bundle does not say what its book earned walking forward: train and publish it again"),
    ],
    ids=["noise", "an older bundle"],
)
def test_without_evidence_nothing_is_traded_and_the_plan_says_why(planned: Callable[..., tuple], evidence: bytes, why: str) -> None:
    bench, plan, report = planned(evidence)
    assert plan["orders"] == 0 and f"flat: {why}" in plan["summary"]
    assert why in report and bench.rows("SELECT count(*) FROM intents") == [(0,)]


@pytest.mark.parametrize("evidence", [bundles.evidence_file(t=50.0), NEVER], ids=["evidence", "an older bundle"])
def test_an_accepted_evaluation_has_the_declared_gross_and_every_screen_says_that_it_is_no_evidence(
    planned: Callable[..., tuple], evidence: bytes
) -> None:
    """Gross 0.25 is the one number that results, whatever the bundle's evidence says."""
    bench, plan, report = planned(evidence, accepted=True)
    said = "not sized by evidence: a rehearsal at a declared gross of 0.2500"
    assert target_gross(plan) == pytest.approx(0.25, rel=0.01) and plan["orders"]
    assert plan["sized_by"] == said and said in plan["summary"] and said in bench("jobs", "--session", plan["day"]).out
    assert f"> **N{said[1:]}.** The size of this book says nothing about its model." in report
    content = json.loads((bench.state / "reports" / f"report_{plan['day']}.json").read_text())
    assert content["decisions"]["sized_by"] == said
