"""`agentstop node` on cgroups of a test's own: nothing is started in them that the test does not put there.

So they stand for those of a node that has cgroups of version 2 alone, also on a machine that has others besides.
"""

import sys

from agentstop.cli.main import main
from agentstop.node import component

if __name__ == "__main__":
    vars(component)["governs"] = lambda _: True
    sys.exit(main())
