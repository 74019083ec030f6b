"""What happens in a new child until it is the container's command."""

import os
import resource
import signal
from typing import Any, NoReturn

from .process_tree import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, prctl


def fail(pipe: int, message: str) -> NoReturn:
    """Tell the guardian why this child never became the container, and end."""
    os.write(pipe, message.encode(errors="replace")[:4096])
    os._exit(127)


def reason_of(error: OSError) -> str:
    """What the system says, in the lower case of runtime messages."""
    return (error.strerror or str(error)).lower()


def execute(argv: list[str], env: dict[str, str], report: int) -> NoReturn:
    """Replace this process by the command, found as a container runtime finds it: on the container's own PATH."""
    name = argv[0]
    if "/" in name:
        candidates = [name]
    else:
        candidates = [f"{folder or '.'}/{name}" for folder in env.get("PATH", os.defpath).split(":")]
    denied: OSError | None = None
    for candidate in candidates:
        try:
            os.execve(candidate, argv, env)  # noqa: S606 - starting the given command is what this program is for
        except (FileNotFoundError, NotADirectoryError) as error:
            if "/" in name:
                fail(report, f'exec: "{name}": {reason_of(error)}')
        except OSError as error:
            denied = error
    if denied is not None:
        fail(report, f'exec: "{name}": {reason_of(denied)}')
    fail(report, f'exec: "{name}": executable file not found in $PATH')


def become(
    order: dict[str, Any], guardian: int, null: int, output: int, report: int, limits: tuple[int, int]
) -> NoReturn:
    """Turn this forked copy of the guardian into the command of a start order; never returns."""
    try:
        os.setsid()
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        try:
            os.chdir(order["cwd"])
        except OSError as error:
            fail(report, f'chdir to cwd ("{order["cwd"]}") failed: {reason_of(error)}')
        execute(order["argv"], order["env"], report)
    except OSError as error:
        fail(report, f"cannot start the process: {reason_of(error)}")
    except BaseException as error:  # noqa: BLE001 - a forked copy must never return into the guardian's loop
        fail(report, f"cannot start the process: {error}")
