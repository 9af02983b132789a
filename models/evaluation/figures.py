"""Counts as a reader wants them: rates with the interval that a small number leaves open, percentiles, Markdown tables."""

from __future__ import annotations

import math

Z = 1.96  # 95 %


def wilson(found: int, of: int) -> tuple[float, float]:
    """The interval in which the true rate lies, 19 times in 20 (Wilson 1927); (0, 1) for no trials."""
    if of == 0:
        return 0.0, 1.0
    p, z2 = found / of, Z * Z
    middle, reach = p + z2 / (2 * of), Z * math.sqrt(p * (1 - p) / of + z2 / (4 * of * of))
    return max(0.0, (middle - reach) / (1 + z2 / of)), min(1.0, (middle + reach) / (1 + z2 / of))


def rate(found: int, of: int) -> str:
    """`17 of 20, 85 % (64 to 95)`: counts, rate and interval; `-` where there was nothing to find."""
    if of == 0:
        return "-"
    low, high = wilson(found, of)
    return f"{found} of {of}, {percent(found / of)} % ({percent(low)} to {percent(high)})"


def percent(share: float) -> str:
    """Whole per cents; one digit more where a whole one would read as none or all."""
    value = 100 * share
    return f"{value:.1f}" if 0.05 <= value < 1.5 or 98.5 < value <= 99.95 else f"{value:.0f}"


def aim(what: str, wanted: str, found: int, of: int, least: float | None = None, most: float | None = None) -> list[str]:
    """A row of the summary: what is aimed at, what was measured, and whether the rate measured meets it."""
    if of == 0:
        return [what, wanted, "-", "nothing to say"]
    met = (least is None or found / of >= least) and (most is None or found / of <= most)
    return [what, wanted, rate(found, of), "met" if met else "**missed**"]


def percentile(values: list[float], share: float) -> float | None:
    """The value that `share` of the values do not exceed; none of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def table(head: list[str], rows: list[list]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def numbers(values) -> str:
    """`3 to 7, 9`: whole numbers in a few words."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in runs)
