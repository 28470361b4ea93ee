"""HRP weights of one covariance by a peer, timed without its imports; prints CPU seconds and saves the weights.

python hrp_peer.py PEER COVARIANCE.npy WEIGHTS.npy
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np

warnings.simplefilter("ignore")


def by_pypfopt(covariance: np.ndarray):
    import pandas as pd
    from pypfopt.hierarchical_portfolio import HRPOpt

    frame = pd.DataFrame(covariance)

    def weights() -> np.ndarray:
        found = HRPOpt(cov_matrix=frame).optimize()
        return np.array([found[name] for name in frame.columns])

    return weights


def by_skfolio(covariance: np.ndarray):
    """skfolio takes returns: these have exactly this covariance."""
    from skfolio.distance import PearsonDistance
    from skfolio.optimization import HierarchicalRiskParity

    count = len(covariance)
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4 * count, count))
    draws -= draws.mean(axis=0)
    whiten = np.linalg.inv(np.linalg.cholesky(draws.T @ draws / (len(draws) - 1)).T)
    returns = draws @ whiten @ np.linalg.cholesky(covariance).T
    return lambda: HierarchicalRiskParity(distance_estimator=PearsonDistance()).fit(returns).weights_


def main() -> None:
    """Time one run."""
    peer, source, target = sys.argv[1:]
    work = {"pypfopt": by_pypfopt, "skfolio": by_skfolio}[peer](np.load(source))
    start = time.process_time()
    weights = work()
    print(time.process_time() - start)
    np.save(target, weights)


if __name__ == "__main__":
    main()
