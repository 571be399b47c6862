"""How far a measured share may be off: 95 % intervals for accuracies.

If r of n independent answers are right, the true share p lies, with a confidence of 95 %, in Wilson's score interval

    centre = (r/n + z²/2n) / (1 + z²/n)      half width = z / (1 + z²/n) * sqrt(r/n (1 - r/n) / n + z²/4n²)

with z = 1.96 (E. B. Wilson, Probable inference, JASA 1927). Unlike r/n ± z * sqrt(...) it stays within 0 and 1, and
it does not shrink to nothing when all answers are right: 20 of 20 may well be a model that is right in 84 %.

Several questions about one clip are not independent: who misreads the clip fails them together. Then n answers tell
as much as n / deff independent ones (L. Kish's design effect), with r_c of n_c right about clip c and p = r/n:

    deff = sum over clips of (r_c - p n_c)² / (n p (1 - p))          1 where each clip is asked about once
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from minivl.errors import InputError

Z = 1.959964  # so many standard deviations on either side hold 95 % of a normal distribution


def wilson(right: float, count: float) -> tuple[float, float]:
    """The 95 % interval (low, high) of a share of which `right` of `count` answers were seen.

    Raises InputError unless 0 <= right <= count and count > 0.
    """
    if not 0 <= right <= count or count == 0:
        raise InputError(f"{right} right answers of {count}: there is no interval for that")
    p, z2 = right / count, Z * Z / count
    centre = (p + z2 / 2) / (1 + z2)
    half = Z / (1 + z2) * math.sqrt(p * (1 - p) / count + z2 / (4 * count))
    return max(0.0, centre - half), min(1.0, centre + half)  # rounding alone could pass 0 and 1


def wilson_of_groups(groups: Iterable[tuple[int, int]]) -> tuple[float, float]:
    """The interval (low, high) of a share of answers that come in groups: (right, count) of each clip, for example.

    Never narrower than Wilson's for independent answers. Raises InputError where there is no answer at all.
    """
    pairs = list(groups)
    right, count = (sum(column) for column in zip(*pairs, strict=True)) if pairs else (0, 0)
    spread = sum((r * count - right * n) ** 2 for r, n in pairs)  # whole numbers until here: exactly 1 below
    deff = spread / (count * right * (count - right)) if 0 < right < count else 1.0
    return wilson(right / max(1.0, deff), count / max(1.0, deff))


def wilson_of_mean(*shares: tuple[int, int]) -> tuple[float, float, float]:
    """The mean of several shares (right, count), each of its own questions, and its 95 % interval: (mean, low, high).

    The distances from the shares to their own limits are added as independent errors are, by their squares
    (R. G. Newcombe, Interval estimation for the difference between independent proportions, 1998). For balanced
    accuracy the shares are those of questions whose answer is yes, and of those whose answer is no.
    """
    values = [right / count for right, count in shares]
    limits = [wilson(right, count) for right, count in shares]
    mean = sum(values) / len(values)
    below = math.hypot(*(p - low for p, (low, _) in zip(values, limits, strict=True))) / len(values)
    above = math.hypot(*(high - p for p, (_, high) in zip(values, limits, strict=True))) / len(values)
    return mean, mean - below, mean + above
