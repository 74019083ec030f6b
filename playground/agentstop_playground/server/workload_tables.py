"""The tables of workloads: READY, COMPLETIONS and the other cells, as the real server computes them.

Source: the server's ``pkg/printers/internalversion/printers.go``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from agentstop_playground import times

from .resources import Column
from .selectors import as_text, of_object
from .tables import AGE_COLUMN, human_duration

Reader = Callable[[Mapping[str, Any]], Any]


def _status(name: str) -> Reader:
    return lambda obj: (obj.get("status") or {}).get(name, 0)


def _ready(obj: Mapping[str, Any]) -> str:
    return f"{_status('readyReplicas')(obj)}/{obj['spec'].get('replicas', 0)}"


def _containers(name: str) -> Reader:
    def read(obj: Mapping[str, Any]) -> str:
        containers = obj["spec"]["template"]["spec"].get("containers") or ()
        return ",".join(str(container.get(name, "")) for container in containers)

    return read


def _selector(obj: Mapping[str, Any]) -> str:
    return as_text(of_object(obj["spec"].get("selector") or {})) or "<none>"


def _job_status(obj: Mapping[str, Any]) -> str:
    conditions = {item["type"]: item["status"] for item in (obj.get("status") or {}).get("conditions") or ()}
    for kind in ("Complete", "Failed"):
        if conditions.get(kind) == "True":
            return kind
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if conditions.get(kind) == "True":
            return kind
    return "Running"


def _completions(obj: Mapping[str, Any]) -> str:
    spec, succeeded = obj["spec"], _status("succeeded")(obj)
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism", 0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(obj: Mapping[str, Any]) -> str:
    status = obj.get("status") or {}
    begun, ended = (times.parse(status.get(name, "")) for name in ("startTime", "completionTime"))
    return human_duration(((ended or times.now()) - begun).total_seconds()) if begun else ""


_WIDE: Final = (
    Column("Containers", _containers("name"), priority=1),
    Column("Images", _containers("image"), priority=1),
)
_SELECTOR: Final = Column("Selector", _selector, priority=1)

DEPLOYMENT_COLUMNS: Final = (
    Column("Ready", _ready),
    Column("Up-to-date", _status("updatedReplicas")),
    Column("Available", _status("availableReplicas")),
    AGE_COLUMN,
    *_WIDE,
    _SELECTOR,
)
REPLICA_SET_COLUMNS: Final = (
    Column("Desired", lambda obj: obj["spec"].get("replicas", 0), "integer"),
    Column("Current", _status("replicas"), "integer"),
    Column("Ready", _status("readyReplicas"), "integer"),
    AGE_COLUMN,
    *_WIDE,
    _SELECTOR,
)
STATEFUL_SET_COLUMNS: Final = (Column("Ready", _ready), AGE_COLUMN, *_WIDE)
JOB_COLUMNS: Final = (
    Column("Status", _job_status),
    Column("Completions", _completions),
    Column("Duration", _duration),
    AGE_COLUMN,
    *_WIDE,
    _SELECTOR,
)
CRON_JOB_COLUMNS: Final = (
    Column("Schedule", lambda obj: obj["spec"].get("schedule", "")),
    Column("Timezone", lambda obj: obj["spec"].get("timeZone") or "<none>"),
    Column("Suspend", lambda obj: str(obj["spec"].get("suspend", False))),
    Column("Active", lambda obj: len((obj.get("status") or {}).get("active") or ()), "integer"),
    AGE_COLUMN,
)
