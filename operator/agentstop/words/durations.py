"""Durations and moments, as people write and read them."""

import re
from datetime import UTC, datetime
from typing import Final

_PARTS: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PLAIN: Final = re.compile(r"\d+(?:\.\d+)?")


def parse_duration(text: str) -> float:
    """Read `10s`, `2m`, `1h30m`, `7d` or plain seconds, and return seconds. Raises ValueError."""
    text = text.strip()
    if _PLAIN.fullmatch(text):
        return float(text)
    parts = _PARTS.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration: write it as 10s, 2m or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def moment(text: str | None) -> datetime | None:
    """Read an RFC 3339 moment, or None where there is none."""
    return datetime.fromisoformat(text) if text else None


def now() -> datetime:
    """Return this moment."""
    return datetime.now(UTC)


def ago(since: datetime | None, until: datetime) -> str:
    """Return how long it is from one moment to another, or a dash where one is not known."""
    return "-" if since is None else spell(max((until - since).total_seconds(), 0.0))


def spell(seconds: float) -> str:
    """Write a duration in one or two units: `0.02s`, `4.5s`, `42s`, `3m10s`, `34m`, `5h12m`, `9d`."""
    if seconds < 0.1:
        return f"{seconds:.2f}s"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole}s"
    for below, unit, name, smaller, smaller_name in _SCALE:
        if whole < below:
            rest = whole % unit // smaller if smaller_name else 0
            return f"{whole // unit}{name}" + (f"{rest}{smaller_name}" if rest else "")
    return f"{whole // 86_400}d"


_SCALE: Final = (
    (600, 60, "m", 1, "s"),
    (7200, 60, "m", 1, ""),
    (8 * 3600, 3600, "h", 60, "m"),
    (48 * 3600, 3600, "h", 1, ""),
    (8 * 86_400, 86_400, "d", 3600, "h"),
)
"""Below how many seconds which unit is written, and the smaller one behind it, where it still matters."""


def clock(at: datetime) -> str:
    """Write a moment of the local day with milliseconds."""
    return at.astimezone().strftime("%H:%M:%S.%f")[:-3]


def date_and_clock(at: datetime, today: datetime) -> str:
    """Write a moment in local time; with its date where that is not today's."""
    local = at.astimezone()
    return local.strftime("%H:%M:%S" if local.date() == today.astimezone().date() else "%Y-%m-%d %H:%M:%S")
