"""How sure a measured share is."""

from math import sqrt


def wilson(count: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval for a share of independent trials; zero of n gives an upper end near 3.8/n, never zero."""
    if total == 0:
        return 0.0, 1.0
    share = count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    reach = z / (1 + z * z / total) * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # Rounding must not put an end of the interval on the wrong side of the share.
    return max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach))
