"""Wexa's ids, which are ObjectIds: 24 hexadecimal digits. Executions have UUIDs.

Source: https://www.mongodb.com/docs/manual/reference/bson-types/#objectid
"""

import hashlib
import re
from functools import lru_cache
from typing import Final

OBJECT_ID: Final = re.compile("[0-9a-f]{24}")
NOBODY: Final = "0" * 24
"""The id of a user or an agentflow that we do not know."""

MAX_NAMES: Final = 10_000


def task_id(uid: str) -> str:
    """Return what Wexa's clients call a task: the first 24 digits of its UID.

    Two UIDs that begin alike are as unlikely as two equal ObjectIds; the gateway calls that a conflict.
    """
    return uid.replace("-", "")[:24]


def node_id(uid: str) -> str:
    """Return the id of a task's node in the tree of executions: the last 24 digits of its UID."""
    return uid.replace("-", "")[-24:]


def project_id(namespace: str) -> str:
    """Return the id of the project that a namespace is."""
    return _hashed("project", namespace)


def agentflow_id(namespace: str, agent: str | None) -> str:
    """Return the id of the agentflow that an agent is, in its namespace."""
    return _hashed("agentflow", f"{namespace}/{agent}") if agent is not None else NOBODY


@lru_cache(maxsize=MAX_NAMES)
def _hashed(kind: str, name: str) -> str:
    return hashlib.sha256(f"{kind}\n{name}".encode()).hexdigest()[:24]
