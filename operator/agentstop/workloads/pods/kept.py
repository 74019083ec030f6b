"""What a pod object is good for when nothing of the pod runs any more."""

from collections.abc import Mapping
from typing import Any, Final

from agentstop.api.meta import parse_seconds
from agentstop.lifecycle.observation import KeptPod
from agentstop.workloads.lightening import JOB_TRACKING
from agentstop.workloads.objects import CacheEntry
from agentstop.workloads.pods.record import PodRecord

DEFAULT_SECONDS: Final = 3600
"""How long a mounted token lives where its volume does not say so."""

EXTENDED: Final = 3607
EXTENDED_SECONDS: Final = 365 * 24 * 3600
"""What the volume asks for that admission gives each pod, and how long the token lives all the same, unless the API
server runs with --service-account-extend-token-expiration=false.

Source: WarnOnlyBoundTokenExpirationPeriod and ExpirationExtensionSeconds in
https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/serviceaccount/claims.go
"""


def token_seconds(spec: Mapping[str, Any]) -> int | None:
    """Return how long the longest of the service account's tokens lives that a pod's volumes bring; None without any.

    What admission has made of `automountServiceAccountToken` shows in the volumes, too.
    """
    sources = (each for volume in spec.get("volumes") or () for each in _sources(volume))
    tokens = (each.get("serviceAccountToken") for each in sources)
    asked = (parse_seconds(each.get("expirationSeconds"), DEFAULT_SECONDS) for each in tokens if each is not None)
    return max((EXTENDED_SECONDS if each == EXTENDED else each for each in asked), default=None)


def _sources(volume: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return (volume.get("projected") or {}).get("sources") or []


def kept_pod(pod: PodRecord, entry: CacheEntry) -> KeptPod | None:
    """Return what is left of a pod; None where its object is gone, or goes now.

    A kubelet lets go at once of what has ended and is being deleted, and the Job controller of what it has counted.
    """
    if entry.absent or (pod.deletion_at is not None and pod.ended and not {*pod.finalizers} - {JOB_TRACKING}):
        return None
    return KeptPod(pod.name, pod.uid, pod.account, pod.token_seconds, pod.deletion_at)
