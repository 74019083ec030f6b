"""Mistakes of the operator that are known and not mended yet. The histories leave out what leads to one of them alone.

Who mends one removes its member here and in `test_known_faults.py`, which fails then, and all that asks for it.
"""

from enum import StrEnum


class Known(StrEnum):
    """One mistake."""

    UNSEEN_NODE = "a pod went by force after it was bound, and the record knows no node or no container of it: Gone"
    UNMET = "a Job's pod loses its labels before an operator has ever seen it, and nothing leads to it any more"


KNOWN = set(Known)
