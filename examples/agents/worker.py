"""An agent that works in small steps. On SIGTERM it ends the step at hand and exits with 0."""

import itertools
import os
import signal
import time

SECONDS_A_STEP = 0.3

stop_asked = False


def on_sigterm(_number: int, _frame: object) -> None:
    global stop_asked
    stop_asked = True


def main() -> None:
    signal.signal(signal.SIGTERM, on_sigterm)
    work = os.environ.get("WORK", "working")
    for step in itertools.count(1):
        print(f"{work} (step {step})", flush=True)
        time.sleep(SECONDS_A_STEP)
        if stop_asked:
            print(f"asked to stop after step {step}", flush=True)
            break


main()
