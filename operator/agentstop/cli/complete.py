"""`kubectl_complete-agentstop`: kubectl asks it for candidates when the user presses tab."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the candidates for the last word; none where the plugin's libraries are not installed."""
    try:
        from agentstop.cli.plugin.completing import answer
    except ModuleNotFoundError:
        print(":4")
        return 0
    print("\n".join(answer(sys.argv[1:] if arguments is None else arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
