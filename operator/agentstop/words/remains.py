"""What a stop leaves behind, in plain words."""

from datetime import datetime
from typing import Any, Final

from agentstop.words.durations import date_and_clock, moment
from agentstop.words.tasks import Object, stop_of

MOST: Final = 32
"""So many are listed in a status at most."""


def left_behind(task: Object, now: datetime) -> list[str]:
    """Return what the stop of a task leaves behind, and what ends it, each in a sentence."""
    listed = stop_of(task).get("remains") or []
    left = [each for each in listed if (moment(each.get("until")) or now) >= now]
    return [*(_sentence(each, now) for each in left), *(["and perhaps more"] if len(listed) >= MOST else [])]


def _sentence(each: dict[str, Any], now: datetime) -> str:
    until = moment(each.get("until"))
    when = f" until {date_and_clock(until, now)} at the latest" if until is not None else ""
    if each["kind"] == "Pod":
        return f"pod {each['name']} is kept{when}; what ends it: {each['endedBy']}"
    what = f"tokens of service account {each['name']} that pod {each.get('pod')} was given"
    return f"{what} are accepted{when}; what ends them: {each['endedBy']}"
