"""Surfaces of generated and of real chains: recovered, and flagged where their quotes hold an arbitrage."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.option_market import Quoting, Skew, quoted
from trainer.curation.vendors.mapping import ChainColumns
from trainer.options.chains import OptionChain, butterflies, calendars, forward_of, price
from trainer.options.curation import chains_of, read_chains
from trainer.options.surface import Curve, Flag, Smile, Surface, surface_of
from trainer.options.svi import Bend, Svi, checked, fitted, slice_of

DAY = date(2020, 3, 2)
DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
VOGT = Svi(-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)


def expirations(*days: int) -> list[np.datetime64]:
    return [np.datetime64(DAY) + np.timedelta64(day, "D") for day in days]


def clean(seed: int, days: tuple[int, ...] = (7, 30, 91)) -> tuple[OptionChain, Skew, float]:
    rng = np.random.default_rng(seed)
    rho = rng.uniform(-0.8, 0.2)
    skew = Skew(rho, rng.uniform(0.3, 0.95) * 2.0 / (1.0 + abs(rho)), rng.uniform(0.2, 0.5))
    variance = rng.uniform(0.12, 0.6) ** 2
    quoting = Quoting(half_points=rng.uniform(0.002, 0.01))
    return quoted("X", DAY, rng.uniform(50.0, 3000.0), variance, expirations(*days), quoting, skew), skew, variance


def of_curves(curves: dict[int, Svi], half_points: float = 0.003) -> OptionChain:
    """Quote any curves by days to expiry: forward 100, no interest, half spreads in vol points."""
    rows = []
    for day, curve in curves.items():
        strike = np.unique(np.round(100.0 * np.exp(np.linspace(-0.9, 0.9, 61)), 1))
        deviation = np.sqrt(curve.w(np.log(strike / 100.0)))
        half = half_points * np.sqrt(day / 365.0)
        for is_call in (False, True):
            bid, ask = (price(100.0, strike, deviation + side * half, 1.0, is_call) for side in (-1.0, 1.0))
            rows.append((np.full(len(strike), expirations(day)[0]), strike, np.full(len(strike), is_call), bid, ask))
    columns = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
    order = np.lexsort((columns[2], columns[1], columns[0]))
    expiration, strike, is_call, bid, ask = (column[order] for column in columns)
    unknown = np.full(len(strike), np.nan)
    return OptionChain("X", DAY, 100.0, expiration, strike, is_call, bid, ask, unknown, unknown)


def flags_of(surface: Surface) -> set[Flag]:
    return {flag for smile in surface.smiles for flag in smile.flags}


def test_generated_surfaces_are_recovered_within_a_quarter_of_the_half_spread_and_clean_ones_are_not_flagged() -> None:
    """Ticks of 5 and 10 cents, spreads of 0.2 to 1 vol points; at most 1 in 100 slices is flagged."""
    errors, flagged = [], []
    for seed in range(40):
        chain, skew, variance = clean(seed)
        for smile in surface_of(chain).smiles:
            truth = np.sqrt(slice_of(skew.rho, skew.eta, skew.gamma, variance * smile.years).w(smile.quotes.k) / smile.years)
            errors.append((smile.volatility(smile.quotes.k) - truth) / smile.half_width)
            flagged.append(bool(smile.flags))
            assert smile.source is Curve.SVI, "nothing is repaired or bent where nothing is wrong"
    assert np.sqrt(np.mean(np.concatenate(errors) ** 2)) <= 0.25
    assert len(flagged) == 120 and np.mean(flagged) <= 0.01


def test_vogts_slice_is_flagged_and_what_is_used_has_no_butterfly() -> None:
    surface = surface_of(of_curves({365: VOGT}))
    (smile,) = surface.smiles
    assert Flag.BUTTERFLY in smile.flags
    assert smile.curve.g(checked(smile.quotes.k)).min() >= -1e-9


def test_where_no_repaired_fit_succeeds_the_guaranteed_or_the_priors_curve_takes_its_place_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.options.surface.repaired", lambda start, *_: start)
    (smile,) = surface_of(of_curves({365: VOGT})).smiles
    assert {Flag.BUTTERFLY, Flag.FALLBACK} <= set(smile.flags) and smile.source in (Curve.GUARANTEED, Curve.SSVI)
    assert smile.curve.g(checked(smile.quotes.k)).min() >= -1e-9


def test_a_wing_steeper_than_any_law_and_quotes_that_no_curve_follows_are_flagged() -> None:
    """Slopes of 0.36 and 2.04; and quotes that alternate by a fifth from strike to strike, apart by thirty half spreads."""
    steep, plain = Svi(1.0, 1.2, 0.7, 0.0, 1.0), Svi(0.02, 0.05, -0.3, 0.0, 0.4)
    assert max(steep.slopes) == pytest.approx(2.04) and steep.g(np.linspace(-1.4, 1.4, 200)).min() > 0.2
    (smile,) = surface_of(of_curves({365: steep})).smiles
    assert smile.flags == (Flag.SLOPE,) and max(smile.curve.slopes) <= 2.0
    heights = tuple((0.02 * (-1.0) ** np.arange(40)).tolist())
    (smile,) = surface_of(of_curves({365: replace(plain, bend=Bend(-1.0, 0.05, heights))})).smiles
    assert Flag.RESIDUAL in smile.flags and smile.rmse > 2.0 * smile.half_width
    assert not flags_of(surface_of(of_curves({365: plain})))


def with_butterfly(chain: OptionChain) -> OptionChain:
    """Bid one strike of the second expiry so high that its butterfly pays its buyer."""
    rows = chain.expiration == chain.expirations[1]
    place = int(np.flatnonzero(rows & chain.is_call & (chain.bid > 1.0))[3])
    same = np.flatnonzero(rows & chain.is_call)
    where = int(np.flatnonzero(same == place)[0])
    low, high = same[where - 1], same[where + 1]
    share = (chain.strike[high] - chain.strike[place]) / (chain.strike[high] - chain.strike[low])
    bid, ask = chain.bid.copy(), chain.ask.copy()
    bid[place] = share * ask[low] + (1.0 - share) * ask[high] + 0.03
    ask[place] = bid[place] + 0.05
    return replace(chain, bid=bid, ask=ask)


def with_negative_density(seed: int) -> OptionChain:
    """Quote a slice near Vogt's."""
    rng = np.random.default_rng(seed)
    bent = Svi(VOGT.a * rng.uniform(0.97, 1.0), VOGT.b, VOGT.rho, VOGT.m * rng.uniform(0.95, 1.02), VOGT.sigma)
    assert bent.g(np.linspace(-1.2, 1.2, 200)).min() < -1e-3
    return of_curves({365: bent})


def with_crossing(seed: int) -> OptionChain:
    """Quote a later expiry whose total variance is below the earlier one's by more than both half spreads."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(0.01, 0.05)
    early = slice_of(rng.uniform(-0.7, 0.0), 0.8, 0.4, theta)
    return of_curves({30: early, 60: slice_of(-0.4, 0.8, 0.4, theta * rng.uniform(0.80, 0.92))})


def test_a_butterfly_that_pays_its_buyer_is_counted() -> None:
    """Calls at 90, 100, 110 for 12, 9 and 2: half of the first and of the last cost 7, the middle one sells for 9."""
    unknown, calls = np.full(3, np.nan), np.ones(3, dtype=bool)
    strike, mid, expiration = np.array([90.0, 100.0, 110.0]), np.array([12.0, 9.0, 2.0]), np.full(3, expirations(30)[0])
    assert butterflies(OptionChain("X", DAY, 101.0, expiration, strike, calls, mid, mid, unknown, unknown)) == 1
    mid[1] = 7.0
    assert butterflies(OptionChain("X", DAY, 101.0, expiration, strike, calls, mid, mid, unknown, unknown)) == 0


@pytest.mark.parametrize("seed", range(10))
def test_a_planted_butterfly_arbitrage_is_caught(seed: int) -> None:
    """One that pays its buyer at the touch, where the chain without it has none; and a density that is negative by construction."""
    chain, _, _ = clean(seed)
    assert Flag.BUTTERFLY not in flags_of(surface_of(chain))
    assert Flag.BUTTERFLY in flags_of(surface_of(with_butterfly(chain)))
    assert Flag.BUTTERFLY in flags_of(surface_of(with_negative_density(seed)))


@pytest.mark.parametrize("seed", range(10))
def test_a_planted_calendar_arbitrage_is_caught(seed: int) -> None:
    assert Flag.CALENDAR in flags_of(surface_of(with_crossing(seed)))
    theta = 0.01 + 0.004 * seed
    right = slice_of(-0.4, 0.8, 0.4, theta * 1.8)
    assert not flags_of(surface_of(of_curves({30: slice_of(-0.4, 0.8, 0.4, theta), 60: right})))


def test_an_expiry_below_any_earlier_one_is_flagged() -> None:
    """At the touch and by curves: the third is above the second, which is flagged, and below the first; the fourth is above all."""
    curves = {days: slice_of(-0.4, 0.8, 0.4, theta) for days, theta in ((30, 0.03), (45, 0.02), (60, 0.025), (90, 0.04))}
    surface = surface_of(of_curves(curves))
    assert [Flag.CALENDAR in smile.flags for smile in surface.smiles] == [False, True, True, False]
    assert calendars([smile.quotes for smile in surface.smiles]) == {1, 2}
    rows = surface.chain.where(surface.chain.expiration != surface.chain.expirations[1])
    near = np.abs(np.log(surface.chain.strike / 100.0)) < 0.1
    narrow = surface_of(surface.chain.where((surface.chain.expiration != surface.chain.expirations[1]) | near))
    assert Flag.CALENDAR in surface_of(rows).smiles[1].flags and unflagged_crossings(narrow) == []


def unflagged_crossings(surface: Surface) -> list[str]:
    """Expiries whose total variance is below that of an earlier one, at any of 2,000 places that both are judged at."""
    found = []
    for before, after in itertools.combinations(surface.smiles, 2):
        ranges = [checked(smile.quotes.k) for smile in (before, after)]
        k = np.linspace(max(r[0] for r in ranges), min(r[-1] for r in ranges), 2_000)
        if bool((after.curve.w(k) < before.curve.w(k) * (1.0 - 1e-3)).any()) and Flag.CALENDAR not in after.flags:
            found.append(f"{surface.chain.root} {surface.chain.day} {after.expiration}")
    return found


def test_quotes_that_are_crossed_zero_missing_or_endless_change_nothing_of_the_surface() -> None:
    """Each fault in a row of its own, in the middle of a clean chain: its surface is that of the chain without the rows."""
    chain, _, _ = clean(2)
    rows = np.flatnonzero((chain.expiration == chain.expirations[1]) & (chain.bid > 1.0))[4:24:4]
    bid, ask = chain.bid.copy(), chain.ask.copy()
    for row, (low, high) in zip(rows.tolist(), ((9.0, 1.0), (0.0, 0.0), (np.nan, np.nan), (1.0, np.inf), (0.0, 9_999.0)), strict=True):
        bid[row], ask[row] = low, high
    spoilt = surface_of(replace(chain, bid=bid, ask=ask))
    sound = surface_of(chain.where(~np.isin(np.arange(len(chain)), rows)))
    assert [smile.curve for smile in spoilt.smiles] == [smile.curve for smile in sound.smiles] and len(spoilt.smiles) == 3
    assert not flags_of(spoilt)


@pytest.fixture(scope="module")
def spxw() -> list[Smile]:
    return [smile for chain in real("options_eod_spxw_2018") for smile in surface_of(chain).smiles]


def real(*names: str) -> list[OptionChain]:
    paths = [DATA / f"{name}.parquet" for name in names]
    if not all(path.exists() for path in paths):
        pytest.skip(f"needs {paths[0]}")
    found, _ = read_chains({path.name: path.read_bytes() for path in paths}, ChainColumns(), today=date(2026, 1, 1))
    return list(chains_of(found))


def test_every_spxw_slice_of_two_days_or_more_fits(spxw: list[Smile]) -> None:
    """36 slices; RMSE 0.15 vol points at the median, 92 % of all their quotes inside, none with a negative density."""
    quotes = [len(smile.quotes) for smile in spxw]
    assert len(spxw) == 36 and sum(quotes) == 3339
    assert np.median([smile.rmse for smile in spxw]) <= 0.0015
    assert np.average([smile.inside for smile in spxw], weights=quotes) >= 0.92
    assert min(smile.inside for smile in spxw) >= 0.80
    for smile in spxw:
        k = checked(smile.quotes.k)
        k = np.linspace(k[0], k[-1], 4_001)
        w = smile.curve.w(k)
        assert smile.curve.g(k).min() >= -1e-6 and np.abs(np.diff(w, 2)).max() < 1e-4 * w.max(), "no kink or jump between the places"
    assert Counter(flag for smile in spxw for flag in smile.flags) == Counter()


def every_second_strike(chain: OptionChain, first: int) -> OptionChain:
    kept = np.zeros(len(chain), dtype=bool)
    for expiration in chain.expirations:
        for is_call in (True, False):
            kept[np.flatnonzero((chain.expiration == expiration) & (chain.is_call == is_call))[first::2]] = True
    return chain.where(kept)


@pytest.mark.slow
def test_spxw_slices_of_every_second_strike_hold_the_quotes_between_them() -> None:
    """A curve that follows noise is outside of quotes that it has not seen: at least 92 % of these hold it too."""
    held = []
    for chain in real("options_eod_spxw_2018"):
        for first in (0, 1):
            fitted = surface_of(every_second_strike(chain, first))
            for whole in surface_of(chain).smiles:
                quotes, smile = whole.quotes, fitted.smile(whole.expiration)
                assert smile is not None
                unseen = ~np.isin(quotes.strike, smile.quotes.strike)
                model = np.sqrt(smile.curve.w(np.log(quotes.strike / smile.quotes.forward.value)))
                held += ((quotes.low <= model) & (model <= quotes.high))[unseen].tolist()
    assert len(held) > 3_000 and np.mean(held) >= 0.92


def test_a_slice_of_few_quotes_has_its_wings_of_the_surface_of_all_expiries() -> None:
    """Eight strikes at the money between two whole expiries: 2.5 deviations out it is nearer to the truth than a fit of the eight."""
    errors = []
    for seed in range(8):
        chain, skew, variance = clean(seed, (30, 60, 91))
        rows = chain.expiration == chain.expirations[1]
        strikes = np.unique(chain.strike[rows])
        near = np.isin(chain.strike, strikes[len(strikes) // 2 - 4 : len(strikes) // 2 + 4])
        smile = surface_of(chain.where(~rows | near)).smiles[1]
        alone = fitted(smile.quotes.k, smile.quotes.deviation, smile.quotes.half_width**-2)
        assert len(smile.quotes) == 8 and smile.flags == () and alone is not None
        k = np.array([-2.5, 2.5]) * np.sqrt(variance * smile.years)
        truth = np.sqrt(slice_of(skew.rho, skew.eta, skew.gamma, variance * smile.years).w(k))
        errors.append([np.sqrt(curve.w(k)) - truth for curve in (smile.curve, alone)])
    leaning, lone = np.sqrt(np.mean(np.square(errors), axis=(0, 2)))
    assert leaning < 0.75 * lone


def test_a_curve_is_not_bent_into_an_arbitrage() -> None:
    """One quote far below its neighbours, bid and ask: no density follows it, and the curve leaves it outside."""
    chain, _, _ = clean(4, (30,))
    row = int(np.flatnonzero(~chain.is_call & (chain.strike < 0.97 * chain.spot) & (chain.bid > 1.0))[-3])
    bid, ask = chain.bid.copy(), chain.ask.copy()
    bid[row], ask[row] = 0.55 * bid[row], 0.55 * ask[row]
    (smile,) = surface_of(replace(chain, bid=bid, ask=ask)).smiles
    place = int(np.flatnonzero(smile.quotes.strike == chain.strike[row])[0])
    assert smile.curve.w(smile.quotes.k)[place] > smile.quotes.high[place] ** 2
    assert smile.curve.g(np.linspace(smile.quotes.k[0], smile.quotes.k[-1], 2_000)).min() >= -1e-6


@pytest.mark.slow
@pytest.mark.parametrize(("root", "crosses"), [("GOOG", False), ("AAPL", True)])
def test_no_calendar_crossing_of_a_real_chain_of_ten_expiries_stays_unflagged(root: str, crosses: bool) -> None:
    """GOOG's slices do not cross, AAPL's around its split do."""
    chains = [chain for chain in real("options_daily_quotes_lean") if chain.root == root and len(chain.expirations) >= 10]
    surfaces = [surface_of(chain) for chain in chains]
    assert len(surfaces) == 2 and all(len(surface.smiles) >= 10 for surface in surfaces)
    assert [crossing for surface in surfaces for crossing in unflagged_crossings(surface)] == []
    assert any(Flag.CALENDAR in flags_of(surface) for surface in surfaces) == crosses


def test_a_surface_between_expiries_and_beyond_them_is_read_in_total_variance() -> None:
    chain, _, variance = clean(3, (30, 90))
    surface = surface_of(chain)
    for days in (10, 30, 60, 90, 200):
        assert surface.volatility(0.0, days / 365.0) == pytest.approx(np.sqrt(variance), abs=0.01)


def test_a_chain_without_a_forward_or_of_a_day_is_left_out_with_its_reason() -> None:
    chain, _, _ = clean(1, (1, 30, 60))
    chain = chain.where((chain.expiration != chain.expirations[2]) | ~chain.is_call)
    surface = surface_of(chain)
    assert len(surface.smiles) == 1
    assert sorted(surface.left_out.values()) == ["expires within a day", "no forward: too few strikes have a call and a put"]
    assert forward_of(chain.where(chain.expiration == chain.expirations[2]), 0.2) is None
