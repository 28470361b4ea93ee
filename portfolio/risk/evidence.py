"""The share of the Kelly book that the evidence supports, as a function that screens can load."""


def evidence_share(t: float | None) -> float:
    """Share of a Kelly book that its evidence supports: max(0, 1 - 1/t^2), 0 where t is at most 1 or unknown.

    With m the estimated mean and e its standard error, E[m^2] = mu^2 + e^2: m^2 - e^2 estimates mu^2 without bias, and
    1 - 1/t^2 is its share of m^2. Of noise (t standard normal) it is 0 in 84 % of histories and 0.075 on average.

    Examples
    --------
    >>> [round(evidence_share(t), 4) for t in (None, -3.0, 1.0, 2.0, 4.0)]
    [0.0, 0.0, 0.0, 0.75, 0.9375]
    """
    return 0.0 if t is None or t <= 1.0 else 1.0 - 1.0 / (t * t)
