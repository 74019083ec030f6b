"""Which pods of a workload are on record: those that a status shows, and the UIDs of all others that may still run."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple
from uuid import UUID

from agentstop.api.workload_status import MAX_OTHER_PODS, OtherPods, PodEvidence, WorkloadStatus
from agentstop.workloads.pods.record import RUNNING_PHASE

PLAIN: Final = "="
"""Begins what stands in the place of a UID that is none of RFC 9562, as it is."""

_SHORT: Final = 22


class LeftPod(NamedTuple):
    """A pod of which processes may be left."""

    node: str | None
    started: bool
    """Whether all its containers had been started, once at least."""
    uid: str


def shortened(uid: str) -> str:
    """Return a UID in the form that a status has it in: 22 characters instead of 36."""
    try:
        parsed = UUID(uid)
    except ValueError:
        return f"{PLAIN}{uid}"
    return urlsafe_b64encode(parsed.bytes).decode().rstrip("=") if str(parsed) == uid else f"{PLAIN}{uid}"


def restored(text: str) -> str:
    """Return the UID that was shortened."""
    if text.startswith(PLAIN) or len(text) != _SHORT:
        return text.removeprefix(PLAIN)
    try:
        return str(UUID(bytes=urlsafe_b64decode(f"{text}==")))
    except (ValueError, Error):
        return text


def known_pods(workload: WorkloadStatus | None) -> Iterator[PodEvidence]:
    """Yield all pods on record; of those that are not shown there is no name, and no container."""
    if workload is None:
        return
    yield from workload.pods
    for each in workload.other_pods or ():
        phase = RUNNING_PHASE if each.started else None
        for uid in each.uids:
            yield PodEvidence(name="", uid=restored(uid), node=each.node, phase=phase)


def missing(workload: WorkloadStatus | None, known: Iterable[str]) -> int:
    """Return how many pods once were there of which not even the UID is on record, nor `known` by now."""
    if workload is None:
        return 0
    recorded = {each.uid for each in known_pods(workload)}
    beyond = (workload.other_pod_count or 0) - sum(len(each.uids) for each in workload.other_pods or ())
    return max(beyond - len(set(known) - recorded), 0)


def other_pods(pods: Iterable[LeftPod], shown: Collection[str]) -> tuple[tuple[OtherPods, ...], int]:
    """Return the record of pods but those that are shown; and how many they are.

    There is a limit to how many are recorded: some thousand UIDs are what a status has room for.
    """
    alike: dict[tuple[str, bool], list[str]] = {}
    left = sorted({(each.node or "", each.started, each.uid) for each in pods if each.uid not in shown})
    for node, started, uid in left[:MAX_OTHER_PODS]:
        alike.setdefault((node, started), []).append(shortened(uid))
    recorded = (
        OtherPods(node=node or None, started=started or None, uids=tuple(uids))
        for (node, started), uids in alike.items()
    )
    return tuple(recorded), len(left)
