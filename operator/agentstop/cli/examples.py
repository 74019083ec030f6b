"""Where the examples are."""

from pathlib import Path


def find_examples() -> Path | None:
    """Return the folder of the example manifests, relative to where we are if it is below; None outside a checkout."""
    folder = Path(__file__).resolve().parents[3] / "examples"
    if not (folder / "researcher.yaml").is_file():
        return None
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
