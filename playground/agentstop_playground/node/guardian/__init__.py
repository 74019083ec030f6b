"""The node's one guardian: starts containers as processes, reads their output, and leaves nothing behind.

It runs as a program of its own (see ``PROGRAM``) without threads and without asyncio, so
that forking is cheap and safe. The node talks to it in JSON lines over a socket.

How every descendant is found again, without root, cgroups or PID namespaces: a container's first process is made a
child subreaper before it execs (``prctl(2)``: the attribute survives execve). What it starts stays below it in the
process tree, however often it forks or calls setsid. When it ends, its leftovers become children of the guardian, which
is a subreaper too. A child of the guardian that is no container's first process is therefore a leftover of a container
that has ended, and is killed, as the kernel does when PID 1 of a PID namespace ends.

How nothing outlives the node: two processes watch each other. The outer one only waits for the inner one and then kills
every descendant. The inner one does the work, and ends everything when the node's process ends (pidfd), when the socket
closes, or when the outer one is killed (PR_SET_PDEATHSIG).
"""

from pathlib import Path

PROGRAM = "import sys; sys.path.append(sys.argv[1]); from guardian.main import main; main()"
"""What ``python -I -S -c`` runs, with LOCATION, the socket's descriptor and the node's PID as arguments.

Relative imports only in this package: it is loaded without its parents, which would bring asyncio and aiohttp along.
"""
LOCATION = Path(__file__).parent.parent
"""The folder in which this package is found by its short name."""
