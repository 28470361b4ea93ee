"""`make options-campaign`: an option market with a planted premium and one without, through every command, and what is asked of both.

Bars and quotes are generated as a vendor would deliver them, curated, fitted, learned from and judged: the premium must be found
(the lower 95 % bound of the hedged net profit is above 0), and none where there is none. The surfaces' figures are printed too.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from typer.testing import CliRunner

from signals.files import write_atomic
from signals.market.bars import Floats, days_array
from signals.market.sessions import xnys
from tests.fakes.option_market import option_market, quotes_frame
from tests.test_trainer.options.test_surfaces import DATA, clean, flags_of, real, with_butterfly, with_crossing, with_negative_density
from trainer.__main__ import app
from trainer.options.positions import TEMPLATES
from trainer.options.surface import Flag, surface_of
from trainer.options.svi import slice_of

NAMES, SESSIONS, SURFACES, PLANTED = 11, 600, 100, 200
RECIPE = Path(__file__).resolve().parents[2] / "configs" / "sleeves" / "options_vol.yml"


def asked(*words: object) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def hedged(folder: Path, premium: float) -> dict[str, Any]:
    """Train on a generated market; a history of 600 sessions has no room for a sealed holdout."""
    days = days_array(xnys(date(2022, 1, 3), date(2024, 12, 31)).days)[-SESSIONS:]
    market = option_market(1, NAMES, days, premium=premium)
    for name, table in (("bars", market.bars), ("quotes", quotes_frame(market.chains))):
        write_atomic(folder / "vendor" / f"{name}.parquet", table.to_parquet(index=False))
    asked("ingest", "--bars", folder / "vendor" / "bars.parquet", "--basis", "raw", "--to", folder / "data")
    asked("options", "ingest", "--quotes", folder / "vendor" / "quotes.parquet", "--to", folder / "data" / "options")
    recipe = yaml.safe_load(RECIPE.read_text())
    recipe["cpcv"] |= {"groups": 5, "holdout_sessions": 0}
    (folder / "recipe.yml").write_text(yaml.safe_dump(recipe))
    run = ("--data", folder / "data", "--config", folder / "recipe.yml", "--run", folder / "run")
    found: dict[str, Any] = asked("train", "--sleeve", "options_vol", *run)["hedged"]
    return found


def planted() -> bool:
    """Print how many planted arbitrages are flagged, and how many clean slices; return whether all and at most 1 in 100 are."""
    chains = [clean(seed)[0] for seed in range(PLANTED)]
    at_touch = [Flag.BUTTERFLY in flags_of(surface_of(with_butterfly(chain))) for chain in chains]
    negative = [Flag.BUTTERFLY in flags_of(surface_of(with_negative_density(seed))) for seed in range(PLANTED)]
    crossing = [Flag.CALENDAR in flags_of(surface_of(with_crossing(seed))) for seed in range(PLANTED)]
    flagged = [bool(smile.flags) for chain in chains for smile in surface_of(chain).smiles]
    caught = f"{sum(at_touch)} butterflies at the touch, {sum(negative)} negative densities, {sum(crossing)} crossings"
    print(f"of {PLANTED} planted each are flagged: {caught}; of {len(flagged)} clean slices {np.mean(flagged):.2%}")
    return all((*at_touch, *negative, *crossing)) and float(np.mean(flagged)) <= 0.01


def surfaces() -> None:
    """Print recovery and false alarms on generated surfaces, and the figures of SPXW where its file is there."""
    errors: list[Floats] = []
    flagged = []
    for seed in range(SURFACES):
        chain, skew, variance = clean(seed, (7, 14, 30, 60, 91, 182))
        for smile in surface_of(chain).smiles:
            truth = np.sqrt(slice_of(skew.rho, skew.eta, skew.gamma, variance * smile.years).w(smile.quotes.k) / smile.years)
            errors.append((smile.volatility(smile.quotes.k) - truth) / smile.half_width)
            flagged.append(bool(smile.flags))
    print(f"generated: recovery {np.sqrt(np.mean(np.concatenate(errors) ** 2)):.3f} of the half width, {np.mean(flagged):.2%} flagged")
    if not (DATA / "options_eod_spxw_2018.parquet").exists():
        print(f"SPXW: needs {DATA}")
        return
    chains = real("options_eod_spxw_2018")
    began = time.process_time()
    spxw = [smile for chain in chains for smile in surface_of(chain).smiles]
    cost = 1e3 * (time.process_time() - began) / len(spxw)
    rmse, inside = (float(np.median([getattr(smile, name) for smile in spxw])) for name in ("rmse", "inside"))
    together = np.average([smile.inside for smile in spxw], weights=[len(smile.quotes) for smile in spxw])
    fit = f"RMSE {100 * rmse:.3f} points, {inside:.1%} inside in the median slice, {together:.1%} of all quotes"
    print(f"SPXW: {len(spxw)} slices, {fit}, {cost:.0f} ms a slice")


def main() -> int:
    surfaces()
    is_right = planted()
    bounds = {}
    for premium in (0.2, 0.0):
        with tempfile.TemporaryDirectory() as folder:
            found = hedged(Path(folder), premium)
        bounds[premium] = found["straddle"]["bound"]
        net, lacking = found["straddle"]["net"]["mean"], {name: found[name]["unknown"] for name in TEMPLATES if name in found}
        said = f"straddle {net:+.2f} vol points net, bound {bounds[premium]:+.2f}; positions without an outcome {lacking}"
        print(f"premium {premium}: {said}; vega used {found['vega_used']:.2f} of its cap")
    is_right = is_right and bounds[0.2] > 0.0 and not bounds[0.0] > 0.0
    print("what is planted is found, and nothing where it is not" if is_right else "WRONG")
    return int(not is_right)


if __name__ == "__main__":
    sys.exit(main())
