"""Candidate structures from the evening's chains to a device's screen: at the touch, inside caps, signed, traded by nobody."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trainer.options.positions", reason="a device has no trainer")

from pydantic import ValidationError

from appliance.system.clock import CLOCK_FILE
from signals.bundle.seal import canonical_json, sign
from signals.scoring.evening_scores import seal_scores
from signals.scoring.option_structures import STRUCTURES_KIND, CandidateStructure, EveningStructures, structures_name
from tests.fakes import bundles
from tests.fakes.device import Workbench
from tests.fakes.option_market import Quoting, quoted
from tests.fakes.store import Published
from trainer.options.chains import price
from trainer.options.positions import Forecast, VegaCaps, candidates
from trainer.options.surface import Smile, Surface, surface_of

CREATED = datetime(2024, 3, 11, 22, tzinfo=UTC)
CAPS = VegaCaps(name_usd=60.0, total_usd=100.0)


@pytest.fixture(scope="module")
def evenings() -> dict[str, Surface]:
    day = date(2024, 3, 11)
    expiries = [np.datetime64(day) + np.timedelta64(days, "D") for days in (32, 60)]
    chains = [quoted(root, day, spot, 0.06, expiries, Quoting(step=2.5)) for root, spot in (("AAA", 100.0), ("BBB", 151.0))]
    return {chain.root: surface_of(chain) for chain in chains}


def payload(evenings: dict[str, Surface], asof: date, caps: VegaCaps = CAPS) -> EveningStructures:
    points = {("AAA", "vertical"): 9.0, ("AAA", "calendar"): -9.0, ("BBB", "calendar"): 9.0, ("BBB", "vertical"): 0.01}
    found = candidates(evenings, {key: Forecast(value, 0.6) for key, value in points.items()}, caps)
    return EveningStructures(
        asof=asof,
        created=CREATED,
        chains_sha256="a" * 64,
        keyset_version=1,
        name_cap_usd=CAPS.name_usd,
        total_cap_usd=CAPS.total_usd,
        structures=found,
    )


def test_structures_are_priced_at_the_touch_and_keep_both_caps(evenings: dict[str, Surface]) -> None:
    """Bought at the ask, sold at the bid; what does not pay its spreads is no candidate; whole units; greeks of their curves."""
    found = payload(evenings, date(2024, 3, 11)).structures
    assert [(one.root, one.template, one.side) for one in found] == [
        ("AAA", "vertical", "buy"),
        ("AAA", "calendar", "sell"),
        ("BBB", "calendar", "buy"),
    ]
    for one in found:
        paid = sum(leg.quantity * (leg.ask if leg.quantity > 0 else leg.bid) for leg in one.legs)
        assert one.debit_usd == pytest.approx(100.0 * paid) and one.units == int(one.units) >= 1
        assert np.interp(one.underlier, *zip(*one.payoff, strict=True)) == pytest.approx(one.payoff[30][1], abs=1.0)
        at, curves = evenings[one.root].chain.spot, {smile.expiration.astype(object): smile for smile in evenings[one.root].smiles}

        def value(spot: float, points: float, one: CandidateStructure = one, at: float = at, curves: dict[date, Smile] = curves) -> float:
            total = 0.0
            for leg in one.legs:
                smile, forward = curves[leg.expiration], curves[leg.expiration].quotes.forward
                deviation = (smile.volatility_at(leg.strike) + points / 100.0) * np.sqrt(smile.years)
                total += leg.quantity * float(price(forward.value * spot / at, leg.strike, deviation, forward.discount, leg.right == "C"))
            return 100.0 * total

        assert one.vega_usd == pytest.approx((value(at, 0.01) - value(at, -0.01)) / 0.02, rel=1e-3)
        assert one.delta_shares == pytest.approx((value(1.0001 * at, 0.0) - value(0.9999 * at, 0.0)) / (0.0002 * at), rel=1e-3)
    by_name = {root: sum(abs(one.units * one.vega_usd) for one in found if one.root == root) for root in ("AAA", "BBB")}
    assert max(by_name.values()) <= 60.0 and sum(by_name.values()) <= 100.0
    vertical = found[0]
    width = 100.0 * (vertical.legs[1].strike - vertical.legs[0].strike)
    profits = [usd for _, usd in vertical.payoff]
    assert min(profits) == pytest.approx(-vertical.debit_usd) and max(profits) == pytest.approx(width - vertical.debit_usd)


@pytest.mark.parametrize("caps", [VegaCaps(name_usd=49.0, total_usd=100.0), VegaCaps(name_usd=60.0, total_usd=90.0)])
def test_a_document_beyond_its_caps_is_none(evenings: dict[str, Surface], caps: VegaCaps) -> None:
    """Of one underlier, and of all together: a unit more than the caps allow."""
    known = payload(evenings, date(2024, 3, 11), caps)
    document = known.model_dump()
    EveningStructures(**document)
    for one in document["structures"]:
        one["units"] *= 4.0
    with pytest.raises(ValidationError, match="vega beyond its cap"):
        EveningStructures(**document)


def test_a_device_shows_them_with_payoffs_and_refuses_what_is_not_signed(
    evenings: dict[str, Surface], published: Published, tmp_path: Path
) -> None:
    day = published.sessions(1)[0]
    asof = published.manifest.calendar.previous(day)
    bench = Workbench(tmp_path / "device")
    assert (
        bench("init", "--venue", "exchange", "--store", str(published.root), "--trust", str(published.trust), "--fixed-ic", "0.05").code
        == 0
    )
    assert bench("pull", "--session", str(day)).code == 0
    asked = ("structures", "--asof", str(asof), "--json")
    assert bench(*asked).code == 2, "none is published"
    known = payload(evenings, asof)
    place = published.root / structures_name(asof)
    place.parent.mkdir(exist_ok=True)
    try:
        place.write_bytes(seal_scores(known, sign(STRUCTURES_KIND, known.to_bytes(), (bundles.STRANGER,))))
        assert bench(*asked).code == 6
        place.write_bytes(seal_scores(known, sign(STRUCTURES_KIND, known.to_bytes(), (bundles.FIRST,))))
        picture = tmp_path / "payoffs.svg"
        done = bench(*asked, "--to", str(picture))
        assert done.code == 0, done.err
        assert [(row["root"], row["side"]) for row in done.json["rows"]] == [("AAA", "buy"), ("AAA", "sell"), ("BBB", "buy")]
        assert picture.read_text().count("at the first expiry") == 3
        assert "nothing here is traded" in bench("structures", "--asof", str(asof)).out
        old = payload(evenings, published.manifest.calendar.previous(asof))
        place.write_bytes(seal_scores(old, sign(STRUCTURES_KIND, old.to_bytes(), (bundles.FIRST,))))
        done = bench(*asked)
        assert done.code == 6 and "not of" in done.err, "an old evening's under a new name"
        place.write_bytes(seal_scores(known, sign(STRUCTURES_KIND, known.to_bytes(), (bundles.FIRST,))))
        of_before = json.loads(known.to_bytes()) | {"format": "trademl-structures/1"}  # a payoff was two lists
        for one in of_before["structures"]:
            one["payoff_underlier"], one["payoff_usd"] = map(list, zip(*one.pop("payoff"), strict=True))
        text = canonical_json(of_before)
        rows = json.loads(sign(STRUCTURES_KIND, text, (bundles.FIRST,)))["signatures"]
        place.write_bytes(canonical_json({"payload": text.decode(), "signatures": rows}))
        done = bench("structures", "--asof", str(asof))
        assert done.code == 6 and "trademl-structures/2" in done.err and len(done.err.splitlines()) == 1, "an older trainer's"
        assert bench("pull", "--session", str(day)).code == 0, "nothing else stops"
        place.write_bytes(seal_scores(known, sign(STRUCTURES_KIND, known.to_bytes(), (bundles.FIRST,))))
        tampered = json.loads(place.read_text())
        tampered["payload"] = tampered["payload"].replace('"side":"sell"', '"side":"buy"')
        place.write_text(json.dumps(tampered))
        assert bench(*asked).code == 6
    finally:
        place.unlink()


@pytest.mark.parametrize(("when", "judged"), [("asof", 0), ("a month later", 6)])
def test_the_newest_key_set_judges_by_the_devices_day(
    evenings: dict[str, Surface], published: Published, tmp_path: Path, when: str, judged: int
) -> None:
    """A key that ends with the document's evening counts that evening, not a month later; one revoked since the last pull never."""
    day = published.sessions(1)[0]
    asof = published.manifest.calendar.previous(day)
    store = tmp_path / "store"
    shutil.copytree(published.root, store)
    bench = Workbench(tmp_path / "device")
    assert bench("init", "--venue", "exchange", "--store", str(store), "--trust", str(published.trust), "--fixed-ic", "0.05").code == 0
    assert bench("pull", "--session", str(day)).code == 0
    known = payload(evenings, asof)
    place = store / structures_name(asof)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(seal_scores(known, sign(STRUCTURES_KIND, known.to_bytes(), (bundles.FIRST,))))
    calendar = published.manifest.calendar
    at = calendar.session(asof).close if when == "asof" else calendar.session(calendar.offset(asof, 19)).close
    (bench.state / CLOCK_FILE).write_text(json.dumps({"now": at.isoformat()}))
    asked = ("structures", "--asof", str(asof), "--json")
    assert bench(*asked).code == 0
    ending = bundles.keyset(bundles.signing_key(bundles.FIRST, until=asof), version=2)
    (store / "keyset.json").write_bytes(bundles.keyset_file(ending))
    assert bench(*asked).code == judged
    revoked = bundles.keyset(bundles.signing_key(bundles.FIRST, revoked=True), bundles.signing_key(bundles.SECOND), version=3)
    (store / "keyset.json").write_bytes(bundles.keyset_file(revoked))
    assert bench(*asked).code == 6
    (store / "keyset.json").write_bytes(bundles.keyset_file(bundles.keyset()))
    assert bench(*asked).code == 6, "an older key set does not bring it back"


def test_without_a_chance_it_is_unknown_and_without_the_underliers_close_there_is_none(evenings: dict[str, Surface]) -> None:
    said = {("AAA", "vertical"): Forecast(9.0, float("nan"))}
    assert [one.probability for one in candidates(evenings, said, CAPS)] == [None]
    without = replace(evenings["AAA"], chain=replace(evenings["AAA"].chain, spot=float("nan")))
    assert candidates({"AAA": without}, said, CAPS) == ()
