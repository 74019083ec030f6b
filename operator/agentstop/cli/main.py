"""`agentstop`: one console script, one module a verb. What is none of the operator's own verbs is the plugin's."""

import os
import sys
from collections.abc import Sequence

from agentstop.cli.operate import COMPLETION_VARIABLE, VERBS, operate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the console script and return its exit code; `docs/kubectl-plugin.md` lists them."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in VERBS and COMPLETION_VARIABLE not in os.environ:
        return operate(words)
    try:
        from agentstop.cli.plugin import app
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        if not words or words[0].startswith("-"):
            return operate(words)
        print(
            f"agentstop: {words[0]} needs {error.name}, which is not installed: pip install 'agentstop[cli]'",
            file=sys.stderr,
        )
        return 1
    return app.run(words)


if __name__ == "__main__":
    sys.exit(main())
