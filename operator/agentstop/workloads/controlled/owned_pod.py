"""One pod of a workload that makes its own."""

from dataclasses import dataclass
from datetime import datetime

from agentstop.api.workload_status import PodEvidence
from agentstop.workloads.objects import CacheEntry, ObjectRef
from agentstop.workloads.pods.departures import being_started, may_have_changed
from agentstop.workloads.pods.record import PodRecord


@dataclass(frozen=True, slots=True)
class OwnedPod:
    """One pod of a workload."""

    pod: PodRecord
    entry: CacheEntry
    certain: bool = True
    """Whether it is known to be the workload's; what may be somebody else's is waited for, and left alone."""
    known: PodEvidence | None = None
    """What is on record of it."""
    boot_id: str | None = None
    """Boot ID of its node, where only a reboot can prove its end."""
    empty_at: datetime | None = None
    """When the kernel of its node said that no process of it was left."""
    frozen_at: datetime | None = None
    """Since when the kernel of its node says that it is frozen."""

    @property
    def ref(self) -> ObjectRef:
        """The pod as an object."""
        return ObjectRef("Pod", self.pod.namespace, self.pod.name)

    @property
    def evidence(self) -> PodEvidence:
        """What a task's status says of it."""
        cut_off = being_started(self.pod, self.entry) is not None
        unseen = may_have_changed(self.entry)
        return self.pod.evidence(
            self.known,
            self.boot_id,
            empty_at=self.empty_at,
            frozen_at=self.frozen_at,
            cut_off=cut_off,
            unseen=unseen,
        )

    @property
    def live(self) -> bool:
        """Whether processes of it may be left, as far as the pod itself tells, or the kernel of its node."""
        return not self.pod.ended and not self.entry.absent and self.empty_at is None

    def made_since(self, moment: datetime) -> bool:
        """Whether a node took it only after this moment."""
        return self.certain and self.pod.taken_at is not None and self.pod.taken_at >= moment

    def outlived(self, moment: datetime) -> bool:
        """Whether it had not ended before this moment, as far as is known."""
        ends = [each.finished_at for each in self.pod.containers if each.finished_at]
        if self.pod.ended and ends:
            return max(ends) >= moment.replace(microsecond=0)
        return not self.entry.absent or self.entry.at >= moment
