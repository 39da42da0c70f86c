"""How fast a long series grows, and how sure that is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import pi, sqrt, tan
from statistics import NormalDist, fmean, linear_regression

#: Neighbours in a series resemble each other, means of long stretches hardly do. From 10 to 30 stretches are
#: enough and not too many: Schmeiser, Batch size effects in the analysis of simulation output, Operations
#: Research 30, 1982.
BLOCKS = 20
CONFIDENCE = 0.95
#: With fewer there is no spread around a line.
FEWEST = 4


@dataclass(frozen=True)
class Slope:
    """A line through a series.

    Attributes:
        value: By how much the series rises while `x` rises by one.
        half_width: Of the confidence interval around it.
        at_zero: Where the line is at 0.
        likeness: Of neighbouring blocks, -1 to 1; near 0 if they are long enough.
        blocks: How many there were.
    """

    value: float
    half_width: float
    at_zero: float
    likeness: float
    blocks: int

    @property
    def certain(self) -> bool:
        """Whether the slope can be told from none at all."""
        return abs(self.value) > self.half_width

    @property
    def share(self) -> float:
        """The slope over the half width: up to 1, it cannot be told from none."""
        if self.half_width == 0:
            return 0.0 if self.value == 0 else float("inf")
        return abs(self.value) / self.half_width

    def at(self, x: float) -> float:
        """Return where the line is."""
        return self.at_zero + self.value * x


def slope_of(x: Sequence[float], y: Sequence[float], blocks: int = BLOCKS) -> Slope:
    """Fit a line to a series whose neighbours resemble each other.

    The line is fitted by least squares to the means of up to `blocks` blocks of
    equally many samples (the remainder is left off at the beginning). With n
    blocks, residuals e and their correlation r with the next one, the half width
    of the confidence interval is

        t(m - 2) * sqrt(sum(e^2) / (m - 2)) / sqrt(sum((x - mean(x))^2))

    where m = n is the formula of every textbook (Draper and Smith, Applied
    Regression Analysis, 3rd edition, section 1.4). It takes residuals for independent;
    what likeness block means still have is allowed for as Santer and others do for
    trends of temperatures (Journal of Geophysical Research 105, 2000, page 7337):
    m = n * (1 - r) / (1 + r) if r > 0, but not below 3.

    Raises:
        ValueError: There are fewer samples than `FEWEST`, or they are all at one place.
    """
    count = min(blocks, len(x))
    if count < FEWEST:
        raise ValueError(f"{len(x)} samples are too few for a slope; {FEWEST} at least")
    xs, ys = _means(x, count), _means(y, count)
    value, at_zero = linear_regression(xs, ys)
    residuals = [there - (at_zero + value * here) for here, there in zip(xs, ys, strict=True)]
    likeness = _likeness(residuals)
    effective = max(3.0, count * (1 - likeness) / (1 + likeness)) if likeness > 0 else float(count)
    variance = sum(e * e for e in residuals) / (effective - 2)
    spread = sum((here - fmean(xs)) ** 2 for here in xs)
    return Slope(value, t_quantile(effective - 2) * sqrt(variance / spread), at_zero, likeness, count)


def _means(values: Sequence[float], blocks: int) -> list[float]:
    size = len(values) // blocks
    first = len(values) - size * blocks
    return [fmean(values[place : place + size]) for place in range(first, len(values), size)]


def _likeness(residuals: Sequence[float]) -> float:
    """Return the correlation of each residual with the next; their mean is 0."""
    total = sum(e * e for e in residuals)
    return sum(one * other for one, other in pairwise(residuals)) / total if total else 0.0


def t_quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Return how many standard errors to either side hold the given share of Student's t distribution.

    For 1 and 2 degrees of freedom exactly, and between them on a straight line, which lies
    above the curve; for more by the expansion in Abramowitz and Stegun, Handbook of
    Mathematical Functions, 26.7.5, which is off by 0.7 % right above 2 and by 0.1 % at 3.
    """
    p = (1 + confidence) / 2
    one, two = tan(pi * (p - 0.5)), (2 * p - 1) / sqrt(2 * p * (1 - p))
    if freedom <= 2:
        return one + (two - one) * (max(freedom, 1.0) - 1)
    z = NormalDist().inv_cdf(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return min(two, z + sum(term / freedom**power for power, term in enumerate(terms, 1)))
