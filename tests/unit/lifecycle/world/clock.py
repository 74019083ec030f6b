"""The time of the world: it passes when told to."""

from datetime import UTC, datetime, timedelta

from agentstop.api.meta import format_time


class Clock:
    """One clock for everybody."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def micro(self) -> str:
        """The moment as a MicroTime."""
        return format_time(self.now)

    def second(self) -> str:
        """The moment as metav1.Time writes it: in whole seconds."""
        return whole(self.now)


def whole(moment: datetime) -> str:
    return moment.isoformat()[:19] + "Z"  # strftime takes many times as long
