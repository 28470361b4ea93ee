"""Hierarchical risk parity (Lopez de Prado 2016, "Building diversified portfolios that outperform out of sample").

Three steps: cluster by correlation distance, reorder the covariance quasi-diagonally, split risk top-down.
Convention: d_ij = sqrt((1 - rho_ij) / 2), then single linkage on the Euclidean distance between the columns of d, as in
the paper's listing; linking d itself gives other weights. Those N(N-1)/2 distances are all of the work but for a
fraction, and come from one product of matrices: |a - b|^2 = |a|^2 + |b|^2 - 2ab.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken
from signals.market.bars import Floats

# Squared distances nearer than this are one. The product rounds by less than N^2 times 1.1e-16, about a tenth of it at
# 1,000 names: those that lie equally far by construction stay so, and are linked in their order as exact sums would be.
SAME_SQUARED = 1e-9


def hrp_weights(covariance: Floats) -> Floats:
    """Return long-only weights that sum to 1.

    Parameters
    ----------
    covariance : float64, shape (N, N)
        Symmetric, positive variances, no NaN.

    Returns
    -------
    float64, shape (N,)

    Raises
    ------
    InvariantBroken
        The matrix is not square, not finite, or a variance is not positive.

    Examples
    --------
    Two uncorrelated assets share risk in inverse proportion to variance.

    >>> hrp_weights(np.diag([0.04, 0.01])).round(4).tolist()
    [0.2, 0.8]
    """
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1] or not np.isfinite(covariance).all():
        raise InvariantBroken(f"a covariance of shape {covariance.shape} that is not square and finite")
    variances = np.diag(covariance)
    if not (variances > 0).all():
        raise InvariantBroken("a variance is not positive")
    if len(variances) == 1:
        return np.ones(1)
    return bisect(covariance, quasi_diagonal_order(covariance))


def budgets(returns: Mapping[str, Floats]) -> dict[str, float]:
    """Share of the risk of each book, by its session returns, float64 (T,) on common sessions; 0 of one that never moved.

    Examples
    --------
    Two books that are not correlated, one with twice the deviation of the other.

    >>> calm = np.array([0.01, -0.01, 0.01, -0.01])
    >>> budgets({"a": calm, "b": np.array([0.02, 0.02, -0.02, -0.02]), "still": np.zeros(4)})
    {'a': 0.8, 'b': 0.2, 'still': 0.0}
    """
    moving = [name for name, one in returns.items() if len(one) > 1 and np.ptp(one) > 0.0]
    if not moving:
        return dict.fromkeys(returns, 0.0)
    shares = hrp_weights(np.atleast_2d(np.cov([returns[name] for name in moving])))
    return {**dict.fromkeys(returns, 0.0), **{name: round(float(share), 6) for name, share in zip(moving, shares, strict=True)}}


def shared_by_risk(book: Floats, covariance: Floats) -> Floats:
    """Share each side's gross among its names by hierarchical risk parity; signs and the sides' gross stay.

    Parameters
    ----------
    book : float64, shape (N,), signed
    covariance : float64, shape (N, N)

    Returns
    -------
    float64, shape (N,)
    """
    shared = np.zeros_like(book)
    for sign in (1.0, -1.0):
        side = np.flatnonzero(sign * book > 0)
        if side.size:
            shared[side] = book[side].sum() * hrp_weights(covariance[np.ix_(side, side)])
    return shared


def correlation_distance(covariance: Floats) -> Floats:
    """d_ij = sqrt((1 - rho_ij) / 2), shape (N, N), from 0 (moving as one) to 1 (moving oppositely)."""
    deviation = np.sqrt(np.diag(covariance))
    correlation = np.clip(covariance / np.outer(deviation, deviation), -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    distance: Floats = np.sqrt((1.0 - correlation) / 2.0)
    return distance


def column_distance(d: Floats) -> Floats:
    """Euclidean distance between every two columns of d, shape (N, N), to the root of `SAME_SQUARED`."""
    product = d.T @ d
    squares = np.diag(product)
    squared = squares[:, None] + squares[None, :] - 2.0 * product
    distance: Floats = np.sqrt(np.maximum(np.rint(squared / SAME_SQUARED), 0.0) * SAME_SQUARED)
    return distance


def quasi_diagonal_order(covariance: Floats) -> NDArray[np.intp]:
    """Leaf order of the single-linkage tree: similar assets are adjacent, shape (N,)."""
    return single_linkage_leaves(column_distance(correlation_distance(covariance)))


def single_linkage_leaves(distance: Floats) -> NDArray[np.intp]:
    """Leaves of the single-linkage tree from left to right, as scipy's `leaves_list(linkage(d, "single"))` has them.

    The tree's links are the edges of a minimum spanning tree (Prim), shortest first; equal ones keep the order in which
    they were found. Of two clusters that are joined, the one that was made earlier is the left one.

    Parameters
    ----------
    distance : float64, shape (N, N)
        Symmetric, N at least 2.

    Returns
    -------
    intp, shape (N,)
    """
    count = len(distance)
    nearest, is_free = np.full(count, np.inf), np.ones(count, dtype=bool)
    edges, at = [], 0
    for _ in range(count - 1):
        is_free[at] = False
        nearest = np.where(is_free, np.minimum(nearest, distance[at]), np.inf)
        then = int(nearest.argmin())
        edges.append((float(nearest[then]), at, then))
        at = then
    cluster = list(range(count))  # of each name; a cluster's number says when it was made
    members = {number: [number] for number in cluster}
    for number, (_, a, b) in enumerate(sorted(edges, key=lambda edge: edge[0]), start=count):
        left, right = sorted((cluster[a], cluster[b]))
        members[number] = members.pop(left) + members.pop(right)
        for name in members[number]:
            cluster[name] = number
    return np.array(members[2 * count - 2], dtype=np.intp)


def bisect(covariance: Floats, order: NDArray[np.intp]) -> Floats:
    """Split the ordered assets in halves, again and again, sharing weight by inverse cluster variance.

    A cluster's variance is that of its inverse-variance portfolio, v = u'Vu with u proportional to 1 / diag(V); the
    first half gets the share 1 - v_1 / (v_1 + v_2) of its parent's weight.

    Parameters
    ----------
    covariance : float64, shape (N, N)
    order : int, shape (N,)

    Returns
    -------
    float64, shape (N,), in the covariance's own order
    """
    ordered = covariance[np.ix_(order, order)]
    inverse = 1.0 / np.diag(ordered)
    weights = np.ones(len(order))
    clusters = [(0, len(order))]
    while clusters:
        first, last = clusters.pop()
        middle = first + (last - first) // 2
        left = _cluster_variance(ordered, inverse, first, middle)
        right = _cluster_variance(ordered, inverse, middle, last)
        share = 1.0 - left / (left + right)
        weights[first:middle] *= share
        weights[middle:last] *= 1.0 - share
        clusters += [(a, b) for a, b in ((first, middle), (middle, last)) if b - a > 1]
    back = np.empty_like(weights)
    back[order] = weights
    return back


def _cluster_variance(ordered: Floats, inverse: Floats, first: int, last: int) -> float:
    u = inverse[first:last]
    return float(u @ ordered[first:last, first:last] @ u) / float(u.sum()) ** 2
