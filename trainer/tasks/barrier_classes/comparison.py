"""Compares learners and horizons: ranked on validation, the seal opened once, "skilled" adjusted over all that were ever tried.

1. Every learner of a horizon is judged on the same decisions, proven by their hash.
2. Validation ranks. The test part is scored for the best cell alone, and for the rows that it is read beside: the clock alone, the
   noise twin (the best cell's learner on the same bars with the sessions' labels exchanged) and, where the truth was generated,
   the oracle. None of these can be chosen.
3. Skilled is the best cell whose t on validation few maxima over all cells reach (max-t by session bootstrap), that holds on test,
   knows more there than the clock, and is not wrong in any regime.
4. All cells are those of earlier comparisons too: ten comparisons of one learner are judged as one of ten, and so is a learner that
   is compared again. One whose series is not on record is taken for independent of all others, which is the strictest. The test
   part's t is raised by the looks at it before (Sidak, as a promotion's seal).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken
from signals.market.bars import Days, Floats
from signals.scoring.evidence import Mean
from trainer.learners.base import HasHead, Learner, Matrix, Model, Rows
from trainer.learners.fanout import side_by_side
from trainer.search.counting import Counted
from trainer.search.judgement import ENOUGH_CLUSTERS, clusters
from trainer.tasks.barrier_classes.decisions import (
    Decisions,
    DirectionFigures,
    DirectionOutputs,
    Gap,
    Shift,
    direction_figures,
    ic_gap,
    shifts,
)
from trainer.validation.significance.max_t import MaxT, max_t_each
from trainer.validation.significance.pbo import Metric, probability_of_overfitting
from trainer.validation.significance.power import shared_limit
from trainer.validation.splits.oof import Step

ONE_SIDED = 1.645
SKILLED_P = 0.05
MATERIAL = 2.0  # errors of the difference
BLOCK_SESSIONS = 5
CSCV_BLOCKS = 8
CLOCK, TWIN, ORACLE = "clock", "noise twin", "oracle"


@dataclass(frozen=True, eq=False)
class HorizonRows:
    """Rows of one horizon, and its three parts.

    Attributes
    ----------
    horizon : int, bars
    inputs : float32, shape (n, F), or (n, L, F)
    clock : float32, shape (n, C)
        What the clock says and nothing else.
    truth : float32, shape (n, Q), or None
        What an oracle knows, of generated bars.
    weight : float64, shape (n,)
    decisions : Decisions
        Of all rows.
    train, validation, test : int64
        Row numbers, apart by purge and embargo.
    reach : int, bars
        Over which a decision looks back.
    """

    horizon: int
    inputs: Matrix
    names: tuple[str, ...]
    clock: Matrix
    truth: Matrix | None
    weight: Floats
    decisions: Decisions
    train: Rows
    validation: Rows
    test: Rows
    reach: int = 0


def cell_name(learner: str, horizon: int) -> str:
    """Learner and horizon, in words."""
    return f"{learner} H{horizon}"


@dataclass(frozen=True, eq=False)
class Cell:
    """A learner at a horizon, judged on validation; `adjusted` is its t as the largest of all cells'."""

    learner: str
    horizon: int
    figures: DirectionFigures
    minutes: float
    adjusted: MaxT | None = None

    @property
    def name(self) -> str:
        """Learner and horizon."""
        return cell_name(self.learner, self.horizon)


@dataclass(frozen=True)
class Embargoed:
    """IC on validation of sessions that look back on nothing that was learned from, and of the others; NaN of too few."""

    reach: int
    further: Mean
    nearer: Mean

    @property
    def is_gap(self) -> bool:
        """Whether nearness to what was learned from explains a part of the IC."""
        error = np.hypot(self.nearer.standard_error, self.further.standard_error)
        return bool(self.nearer.mean - self.further.mean > MATERIAL * error)


@dataclass(frozen=True, eq=False)
class ComparisonRecord:
    """The record as a comparison asks it: when it needs to, because others may end meanwhile.

    Attributes
    ----------
    days : datetime64[D], shape (S,)
        Trading day of each numbered session.
    cells : callable
        Cells on record that count with these, and these themselves where they were compared before.
    opened : callable
        Writes down the name of the cell for which the test part is opened, before it is; returns how many others were seen on it.
    """

    days: Days
    cells: Callable[[], Counted]
    opened: Callable[[str], int]


@dataclass(frozen=True)
class Charge:
    """Earlier cells, those `blind` of them without a series, earlier looks at the test part, and the t that it asks for therefore."""

    cells: int = 0
    blind: int = 0
    looks: int = 0
    test_t: float = ONE_SIDED

    def __str__(self) -> str:
        blind = f", {self.blind} without a series, taken for independent of all others" if self.blind else ""
        seen = f"the test part was seen {self.looks} times before and asks for t {self.test_t:.2f}"
        return f"{self.cells} earlier cells on record{blind}; {seen}"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Result of a comparison.

    Attributes
    ----------
    cells : tuple of Cell
        Best first, on validation.
    beside : mapping of name to DirectionFigures
        On validation, of the best cell's horizon: clock, noise twin, oracle.
    test, test_beside
        The same of the best cell on test, which was opened for it once.
    embargoed : Embargoed
        The best cell's IC on validation with an embargo of all that a decision looks back over.
    over_clock : Mean
        What the best cell's p is above the clock's by session, on test.
    pbo : float or None
        None under ten clusters of cells, where `loss_chance` takes its place: the share of halvings of the sessions whose best
        cell lost in the other half.
    reasons : tuple of str
        Why the best cell is not skilled; empty where it is.
    """

    cells: tuple[Cell, ...]
    beside: Mapping[str, DirectionFigures]
    test: DirectionFigures
    test_beside: Mapping[str, DirectionFigures]
    embargoed: Embargoed
    over_clock: Mean
    gap: Gap
    pbo: float | None
    clusters: int
    loss_chance: float
    shifts: tuple[Shift, ...]
    charge: Charge
    reasons: tuple[str, ...]

    @property
    def is_skilled(self) -> bool:
        """Whether the best cell knows direction."""
        return not self.reasons


def compare_learners(
    horizons: tuple[HorizonRows, ...],
    learners: Mapping[str, Learner],
    *,
    reference: Learner,
    cost_bps: float,
    seed: int,
    step: Step,
    record: ComparisonRecord,
) -> Comparison:
    """Compare every learner at every horizon.

    Parameters
    ----------
    learners : mapping of name to Learner
        Of sides (`trainer.learners.base`), with a head of classes.
    reference : Learner
        The same, of tables; fitted to the clock, the twin's labels and the truth.
    seed : int
        Of the exchange of labels.

    Raises
    ------
    InvariantBroken
        There is nothing to compare, or two learners of a horizon were judged on different decisions.
    """
    if not horizons or not learners:
        raise InvariantBroken("no learner or no horizon to compare")
    cells, fitted = list[Cell](), dict[str, tuple[Model, Floats]]()
    for rows in horizons:
        for cell, model, means in side_by_side(_cell, rows, [(kind, learner, cost_bps) for kind, learner in learners.items()], workers=1):
            cells.append(cell)
            fitted[cell.name] = model, means
            step(cell.name)
    for horizon in {cell.horizon for cell in cells}:
        hashes = {cell.figures.rows for cell in cells if cell.horizon == horizon}
        if len(hashes) > 1:
            raise InvariantBroken(f"learners of horizon {horizon} were judged on different decisions: {', '.join(sorted(hashes))}")
    sessions, series = _aligned(cells, {rows.horizon: rows.decisions.at(rows.validation) for rows in horizons})
    before = record.cells()
    family = _with_earlier(series, record.days[sessions], before)
    adjusted = max_t_each(family, blind=before.blind, block=BLOCK_SESSIONS)
    cells = [replace(cell, adjusted=test) for cell, test in zip(cells, adjusted, strict=False)]
    order = sorted(range(len(cells)), key=lambda place: (-_t(cells[place].figures.ic), place))
    best, rows = cells[order[0]], next(rows for rows in horizons if rows.horizon == cells[order[0]].horizon)
    others = _beside(rows, learners[best.learner], reference, seed)
    looks = record.opened(best.name)
    earlier = family.shape[1] - len(cells) + before.blind
    charge = Charge(earlier, before.blind, looks, shared_limit(ONE_SIDED, looks))
    judged = {
        part: {name: _judged(model, given, means, rows, numbers, cost_bps, twin) for name, (model, given, means, twin) in others.items()}
        for part, numbers in (("validation", rows.validation), ("test", rows.test))
    }
    model, means = fitted[best.name]
    test = _judged(model, rows.inputs, means, rows, rows.test, cost_bps)
    over_clock = rows.decisions.at(rows.test).mean(test.by_session - judged["test"][CLOCK].by_session)
    embargoed = _embargoed(rows, best.figures.by_session)
    distinct, pbo, loss_chance = _overfitting(series)
    return Comparison(
        cells=tuple(cells[place] for place in order),
        beside=judged["validation"],
        test=test,
        test_beside=judged["test"],
        embargoed=embargoed,
        over_clock=over_clock,
        gap=ic_gap(best.figures.by_session, test.by_session),
        pbo=pbo,
        clusters=distinct,
        loss_chance=loss_chance,
        shifts=shifts(_last(rows.inputs[rows.train]), _last(rows.inputs[rows.test]), rows.names),
        charge=charge,
        reasons=tuple(_reasons(best, test, over_clock, embargoed, charge)),
    )


def _cell(rows: HorizonRows, kind: str, learner: Learner, cost_bps: float) -> tuple[Cell, Model, Floats]:
    """One learner at one horizon, fitted and judged on validation: on this machine, or on a cluster's."""
    begin = time.process_time()
    model = _fit(learner, rows.inputs, rows)
    means = rows.decisions.at(rows.train).class_means()
    found = _judged(model, rows.inputs, means, rows, rows.validation, cost_bps)
    return Cell(kind, rows.horizon, found, (time.process_time() - begin) / 60.0), model, means


def _fit(learner: Learner, inputs: Matrix, rows: HorizonRows, side: NDArray[np.int8] | None = None) -> Model:
    """Fit on the training rows, to sides."""
    train = rows.train
    target = (rows.decisions.side if side is None else side)[train].astype(np.float64)
    width = inputs.shape[-1]
    names = rows.names if width == len(rows.names) else tuple(f"given_{column}" for column in range(width))
    return learner.fit(np.ascontiguousarray(inputs[train]), target, rows.weight[train], names, rows.decisions.session[train])


def outputs_of(model: Model, inputs: Matrix, means: Floats, sigma: Floats) -> DirectionOutputs:
    """Probabilities, and the expected return sigma sum_k p_k m_k."""
    if not isinstance(model, HasHead) or not hasattr(model.head, "probabilities"):
        raise InvariantBroken("a model without a head of classes has no probabilities")
    probabilities: Floats = model.head.probabilities(model.outputs(inputs))
    return DirectionOutputs(probabilities, sigma * (probabilities @ means))


def _judged(
    model: Model, inputs: Matrix, means: Floats, rows: HorizonRows, numbers: Rows, cost_bps: float, other: Decisions | None = None
) -> DirectionFigures:
    what = (other or rows.decisions).at(numbers)
    said = outputs_of(model, np.ascontiguousarray(inputs[numbers]), means, what.sigma)
    return direction_figures(what, said, cost_bps=cost_bps)


def _beside(
    rows: HorizonRows, learner: Learner, reference: Learner, seed: int
) -> dict[str, tuple[Model, Matrix, Floats, Decisions | None]]:
    """Models that the best one is compared with: (model, its inputs, class means, other outcomes to judge by)."""
    means = rows.decisions.at(rows.train).class_means()
    twin = exchanged(rows.decisions, (rows.train, rows.validation, rows.test), seed)
    found: dict[str, tuple[Model, Matrix, Floats, Decisions | None]] = {
        CLOCK: (_fit(reference, rows.clock, rows), rows.clock, means, None),
        TWIN: (_fit(learner, rows.inputs, rows, twin.side), rows.inputs, means, twin),
    }
    if rows.truth is not None:
        found[ORACLE] = _fit(reference, rows.truth, rows), rows.truth, means, None
    return found


def exchanged(what: Decisions, parts: tuple[Rows, ...], seed: int) -> Decisions:
    """The same decisions with the outcomes of other sessions: within each part, sessions of as many decisions trade theirs.

    The clock keeps what it knows, since a decision gets what came at the same place of another session.
    """
    side, ret = what.side.copy(), what.ret / what.sigma
    given, rng = ret.copy(), np.random.default_rng(seed)
    for rows in parts:
        _, start, count = np.unique(what.session[rows], return_index=True, return_counts=True)
        for size in np.unique(count):
            own = np.flatnonzero(count == size)
            for here, there in zip(own, rng.permutation(own), strict=True):
                to, source = (rows[start[one] : start[one] + size] for one in (here, there))
                side[to], given[to] = what.side[source], ret[source]
    return replace(what, side=side, ret=given * what.sigma)


def _aligned(cells: list[Cell], parts: Mapping[int, Decisions]) -> tuple[NDArray[np.int64], Floats]:
    """Sessions that any cell has, and series of all cells over them, float64 (S, cells); NaN where a cell has none."""
    own = {horizon: np.unique(part.session) for horizon, part in parts.items()}
    sessions = np.unique(np.concatenate(list(own.values())))
    series = np.full((len(sessions), len(cells)), np.nan)
    for place, cell in enumerate(cells):
        series[np.searchsorted(sessions, own[cell.horizon]), place] = cell.figures.by_session
    return sessions, series


def _with_earlier(series: Floats, days: Days, before: Counted) -> Floats:
    """Series of all cells, float64 (S, cells), and behind them those on record that are none of them, over the days that any has."""
    own = {column[np.isfinite(column)].tobytes() for column in series.T}
    others = [one for one in before.series if one.net.tobytes() not in own]
    if not others:
        return series
    cells, every = series.shape[1], np.unique(np.concatenate([days, *(one.days for one in others)]))
    joined = np.full((len(every), cells + len(others)), np.nan)
    joined[np.searchsorted(every, days), :cells] = series
    for place, one in enumerate(others, start=cells):
        joined[np.searchsorted(every, one.days), place] = one.net
    return joined


def _overfitting(series: Floats) -> tuple[int, float | None, float]:
    """(clusters of cells, PBO over them or None where they are too few, chance that the best of a half loses in the other)."""
    member = clusters(series)
    found = int(member.max()) + 1
    whole = series[np.isfinite(series).all(axis=1)]
    means = np.column_stack([whole[:, member == cluster].mean(axis=1) for cluster in range(found)])
    columns = means if found > 1 else np.repeat(means, 2, axis=1)
    result = probability_of_overfitting(columns, blocks=min(CSCV_BLOCKS, len(columns) // 2 * 2), metric=Metric.MEAN)
    return found, result.pbo if found >= ENOUGH_CLUSTERS else None, result.probability_of_loss


def _embargoed(rows: HorizonRows, by_session: Floats) -> Embargoed:
    judged = rows.decisions.at(rows.validation)
    begins = judged.moment[np.unique(judged.session, return_index=True)[1]]
    is_further = begins > rows.decisions.moment[rows.train].max() + rows.reach
    return Embargoed(rows.reach, *(judged.mean(by_session[some]) for some in (is_further, ~is_further)))


def _reasons(best: Cell, test: DirectionFigures, over_clock: Mean, embargoed: Embargoed, charge: Charge) -> list[str]:
    adjusted = best.adjusted
    found = []
    if adjusted is None or not adjusted.p <= SKILLED_P:
        chance = float("nan") if adjusted is None else adjusted.p
        found.append(f"the best of as many without skill does as well on validation with chance {chance:.2f}, more than {SKILLED_P}")
    seen = f"{charge.test_t:.3f}" + (f": it was seen {charge.looks} times before, which is charged" if charge.looks else "")
    if not test.ic.t >= charge.test_t:
        found.append(f"t {test.ic.t:+.2f} of the IC on test, under {seen}")
    if not over_clock.t >= charge.test_t:
        found.append(f"t {over_clock.t:+.2f} of what it knows beyond the clock on test, under {seen}")
    if embargoed.is_gap:
        found.append(f"the IC falls to {embargoed.further.mean:+.4f} {embargoed.reach} bars and more from what was learned from")
    if test.refuses_regime() and test.worst_regime is not None:
        found.append(f"t {test.worst_regime.ic.t:+.2f} of the IC in the regime {test.worst_regime.regime}, under -2")
    return found


def _t(mean: Mean) -> float:
    return mean.t if np.isfinite(mean.t) else -np.inf


def _last(inputs: Matrix) -> Matrix:
    return inputs if inputs.ndim == 2 else inputs[:, -1]
