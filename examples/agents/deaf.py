"""An agent that ignores SIGTERM: only SIGKILL, at the end of its grace period, ends it."""

import itertools
import signal
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
for attempt in itertools.count(1):
    print(f"calling the most expensive model there is (call {attempt})", flush=True)
    time.sleep(1)
