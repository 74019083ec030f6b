"""What runs in a child process: ``python -m agentstop.cli.child_main PARENT_PID VERB ...``."""

import ctypes
import os
import signal
import sys
from typing import Final

from agentstop.cli.main import main

PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal that a process gets when its parent dies."""


def end_with(parent: int) -> None:
    """Have SIGTERM sent to this process when its parent dies, however it dies; on other systems than Linux do nothing.

    Exits at once if the parent has died already.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
