"""JSON on the wire: how objects become bytes and bytes become objects."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def loads(data: bytes | str) -> Any:
    """Parse JSON; raises ``ValueError``. Also the fastest deep copy of an object whose bytes are at hand."""
    return json.loads(data)
