"""How long the operator waits, and how often it looks: what its administrator or a test may want to be otherwise.

All of it is passed down from where the operator is put together, and pure functions get it as a value. What is not here
is no choice of ours: what a kubelet or a clock does stands beside the rule that reckons with it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Times of one operator: seconds, or a timedelta where it is added to a moment.

    Where a field names no source, the value is a choice of this project.
    """

    # Requests

    request_seconds: float = 10.0
    """How long one request may take. An API server that hangs is asked again rather than waited for."""
    list_seconds: float = 120.0
    """How long one page of a list may take."""
    warm_seconds: float = 20.0
    """How often a connection is used, so that a stop waits for no TLS handshake."""

    # Watches

    reflected_seconds: int = 30
    """How long a watch of all objects of a kind lasts before it is renewed."""
    reflected_silence_seconds: float = 35.0
    """After how long a silent one is taken for dead: a connection that died without a word is found out soon."""
    watch_seconds: int = 60
    """How long a watch of one object, or of one workload's pods, lasts before it is renewed."""
    watch_silence_seconds: float = 65.0
    """After how long a silent one is taken for dead."""
    recall_seconds: int = 2
    """How long a watch lasts that asks only for what has been: that comes at once."""
    recall_silence_seconds: float = 7.0
    """After how long a silent one is taken for dead."""
    reflect_retries_seconds: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0)
    """Pauses of a reflector between tries; the last one again and again, since an API server may be away for long."""
    optional_retries_seconds: tuple[float, ...] = (0.2, 1.0, 3.0)
    """The same of a kind that not every cluster has: somebody may install it at any time."""
    watch_retry_seconds: float = 0.5
    """Pause between two watches of one object."""
    watch_unserved_seconds: float = 3.0
    """The same where the API server does not serve the kind: somebody may install it at any time."""
    look_seconds: float = 10.0
    """How often an object is read at least that is not watched, since too many are."""
    kopf_retry_seconds: float = 1.0
    """Before kopf's list is read anew after an error: kopf itself goes on at once."""
    served_seconds: float = 2.0
    """How often it is looked whether our kinds are served, and the pause before kopf is run anew."""
    blind_seconds: float = 90.0
    """After so long without contact a watch counts as blind: it is three times as long as one lasts."""

    # Queues

    first_retry_seconds: float = 0.05
    """The first pause of a key after a failure; each further one is twice as long."""
    max_retry_seconds: float = 3.0
    """The longest pause of a key after failures."""
    order_rest_seconds: float = 0.5
    """How long an order rests after a pass: its status is written no more often, however fast its tasks change."""
    family_count_seconds: float = 0.1
    """How long the tasks above wait before they count anew, so that a family that ends at once is counted once."""
    status_retry_seconds: float = 10.0
    """How often a status that is not taken is written again while the task goes on."""
    ended_status_retry_seconds: float = 300.0
    """The same once the task has ended."""
    event_patience_seconds: float = 30.0
    """How long an Event waits for stops to go first."""

    # The fence

    fence_rest_seconds: float = 0.1
    """How long it rests after it was written: many stops at once are written together."""
    fence_retry_seconds: float = 1.0
    """The same where it could not be written."""

    # Whole passes

    resync_seconds: float = 300.0
    """How often the caches are compared with the cluster."""
    fill_seconds: float = 20.0
    """After so long work begins though not everything may be known: it may be that some of it can't be."""
    orphan_settling: timedelta = timedelta(seconds=1)
    """How long a pod without a task is left to the garbage collector, which takes what went with its owner."""
    orphan_unserved: timedelta = timedelta(seconds=30)
    """How long to wait where our kind is not served: that says nothing about any task."""

    # Decisions

    start_recheck: timedelta = timedelta(seconds=30)
    """How often a start that is refused is tried again: thousands of tasks may wait for one quota."""
    overdue_recheck: timedelta = timedelta(seconds=10)
    """How often a stop or a pause that is overdue is looked at again."""
    kubelet_kill: timedelta = timedelta(seconds=2)
    """How long after the end of the grace period a node is asked to kill what is left: a kubelet that does its work has
    done so by then, and reported it."""
    freeze_record: timedelta = timedelta(seconds=1)
    """How long it is left unsaid that nodes are asked to freeze a task that runs: most have done so by then, and each
    request that says so keeps others waiting that freeze."""
    order_reread: timedelta = timedelta(seconds=60)
    """How often an order in force is read again: a watch that was blind does not tell that it was lifted or deleted."""
    order_freeze: timedelta = timedelta(seconds=3)
    """How long an order that freezes waits before what follows on that, for what can't be frozen or takes its time."""
    order_recheck: timedelta = timedelta(seconds=2)
    """How often an order that stops is decided on though nothing was heard: not all that it waits for is told."""

    # Tethers

    tether_rest_seconds: float = 0.5
    """How long the Lease of a tether rests after it was read: it is read no more often, whatever asks for it."""
    tether_reread_seconds: float = 10.0
    """After how long a Lease is read again that may not be read, or on which a task hangs though it is lost."""

    # The end, and other replicas

    finish_seconds: float = 2.0
    """How long work that has begun may take to end after the operator was asked to end."""
    kopf_cancel_seconds: float = 1.0
    """How long kopf may take to end once it is cancelled: in the middle of its start that can be five seconds."""
    lease_retry_seconds: float = 0.25
    """Pause after a renewal of the Lease that failed."""
    lease_release_seconds: float = 3.0
    """How long giving the Lease back may take: whoever asked the operator to end does not wait for long."""


TIMINGS: Final = Timings()
"""What the operator keeps to."""
