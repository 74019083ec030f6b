"""Times as the Kubernetes API writes them."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def from_epoch(seconds: float) -> datetime:
    """Seconds since the epoch as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def rfc3339(time: datetime) -> str:
    """``metav1.Time``: whole seconds, cut and not rounded."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(text: str | None) -> datetime | None:
    """An API time, or None for none."""
    return datetime.fromisoformat(text) if text else None
