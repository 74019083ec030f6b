"""What else the machine did during a measurement."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.results import Results

STOLEN_FIELD: Final = 8
"""Of the first line of /proc/stat: time in which a virtual machine had work, and its host gave it no processor.

Source: https://man7.org/linux/man-pages/man5/proc_stat.5.html
"""


@contextmanager
def noted(results: Results) -> Iterator[None]:
    """Note the load and the stolen processor time of a part of the run."""
    before = _stolen_seconds()
    yield
    results.load.append(round(os.getloadavg()[0], 1))
    results.stolen.append(round(_stolen_seconds() - before, 1))


def _stolen_seconds() -> float:
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    return int(fields[STOLEN_FIELD]) / os.sysconf("SC_CLK_TCK")
