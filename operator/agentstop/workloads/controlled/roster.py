"""Which pods of a workload are on record: those that a status shows, and the UIDs of all others that may still run."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Collection, Iterable, Iterator
from typing import Final
from uuid import UUID

from agentstop.api.task import MAX_OTHER_PODS, OtherPods, PodEvidence, WorkloadStatus

PLAIN: Final = "="
"""Begins what stands in the place of a UID that is none of RFC 9562, as it is."""

_SHORT: Final = 22


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
    """Yield all pods on record; of those that are not shown nothing is known but UID and node, and no name."""
    if workload is None:
        return
    yield from workload.pods
    for each in workload.other_pods or ():
        for uid in each.uids:
            yield PodEvidence(name="", uid=restored(uid), node=each.node)


def missing(workload: WorkloadStatus | None, known: Iterable[str]) -> int:
    """Return how many pods once were there of which not even the UID is on record, nor `known` by now."""
    if workload is None:
        return 0
    recorded = {each.uid for each in known_pods(workload)}
    beyond = (workload.other_pod_count or 0) - sum(len(each.uids) for each in workload.other_pods or ())
    return max(beyond - len(set(known) - recorded), 0)


def other_pods(pods: Iterable[tuple[str | None, str]], shown: Collection[str]) -> tuple[tuple[OtherPods, ...], int]:
    """Return the record of pods, as node and UID, but those that are shown; and how many they are.

    There is a limit to how many are recorded: some thousand UIDs are what a status has room for.
    """
    nodes: dict[str | None, list[str]] = {}
    uids = sorted({(node or "", uid) for node, uid in pods if uid not in shown})
    for node, uid in uids[:MAX_OTHER_PODS]:
        nodes.setdefault(node or None, []).append(shortened(uid))
    return tuple(OtherPods(node=node, uids=tuple(each)) for node, each in nodes.items()), len(uids)
