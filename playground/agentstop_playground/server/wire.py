"""JSON on the wire: how objects become bytes and bytes become objects, and timestamps."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def loads(data: bytes | str) -> Any:
    """Parse JSON; raises ``ValueError``. Also the fastest deep copy of an object whose bytes are at hand."""
    return json.loads(data)


def now() -> str:
    """The present time as ``metav1.Time`` writes it: RFC 3339 in UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime | None:
    """Read an RFC 3339 time; ``None`` when it is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None


def format_time(moment: datetime) -> str:
    """Write a time as ``metav1.Time`` does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
