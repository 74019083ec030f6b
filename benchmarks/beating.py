"""`python -m benchmarks.beating FILE COUNT`: processes that each write down the time, twenty times a second.

FILE has a double of Unix seconds for each of them, which all map; the processes' ids are printed, one a line. They end
with this process, and this one when its input does.
"""

import mmap
import os
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Final

from agentstop_playground.node.guardian.process_tree import PR_SET_PDEATHSIG, prctl

EVERY_SECONDS: Final = 0.05
BEAT: Final = struct.Struct("d")


def beats(path: Path) -> list[float]:
    """Return the last beat of each."""
    return [moment for (moment,) in BEAT.iter_unpack(path.read_bytes())]


def main() -> None:
    """Run until the input ends."""
    path, count = Path(sys.argv[1]), int(sys.argv[2])
    path.write_bytes(bytes(BEAT.size * count))
    with path.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), 0)
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            _beat(shared, BEAT.size * number)
        print(pid, flush=True)
    sys.stdin.read()


def _beat(shared: mmap.mmap, where: int) -> None:
    while True:
        BEAT.pack_into(shared, where, time.time())
        time.sleep(EVERY_SECONDS)


if __name__ == "__main__":
    main()
