"""The loop: look, show, until it is enough."""

import time
from typing import Final

from agentstop.cli.plugin.exit_codes import Exit, PluginError
from agentstop.cli.plugin.waiting.aims import Aim
from agentstop.cli.plugin.waiting.display import Display
from agentstop.cli.plugin.waiting.progress import Assessment
from agentstop.client.follow import Follower
from agentstop.words.durations import now

LOOK_SECONDS: Final = 0.25
"""So often what is shown is made anew, whether anything has changed or not: times go on."""

HELD_UP_SECONDS: Final = 15.0
"""Without a timeout, this long is waited for what is held up: it may come loose by itself."""


def wait_for(follower: Follower, aim: Aim, display: Display, timeout: float | None) -> Assessment:
    """Wait until the aim is reached or cannot be.

    Raises PluginError: with TIMEOUT after `timeout` seconds, or HELD_UP where something holds it up then; without a
    timeout, with HELD_UP once all that is left has been held up for a while.
    """
    started = time.monotonic()
    held_since: float | None = None
    seen = -1
    with display:
        while True:
            if follower.failure is not None:
                raise follower.failure
            found = aim.assess(follower.objects, follower.gone, now())
            display.update(found.progress, trouble=follower.trouble)
            if found.outcome is not None:
                return found
            at = time.monotonic()
            held_since = None if found.held_up is None else at if held_since is None else held_since
            if timeout is not None and at - started >= timeout:
                raise _too_late(found, timeout, follower.trouble)
            if timeout is None and held_since is not None and at - held_since >= HELD_UP_SECONDS:
                raise PluginError(f"{found.held_up}; what was asked for stands, and goes on once it can", Exit.HELD_UP)
            pause = LOOK_SECONDS if timeout is None else min(LOOK_SECONDS, max(started + timeout - at, 0.01))
            seen = follower.wait(seen, pause)
            # A burst of changes is shown once.
            time.sleep(0.02)


def _too_late(found: Assessment, timeout: float, trouble: str | None) -> PluginError:
    if found.held_up is not None:
        return PluginError(f"{found.held_up}; what was asked for stands, and goes on once it can", Exit.HELD_UP)
    if trouble is not None:
        return PluginError(f"after {timeout:g}s the API server still does not answer: {trouble}", Exit.TIMEOUT)
    progress = found.progress
    left = f"{progress.total - progress.done} of {progress.total}" if progress.total is not None else "all"
    return PluginError(f"after {timeout:g}s {left} still to come; what was asked for goes on", Exit.TIMEOUT)
