"""`agentstop crds`: prints the CustomResourceDefinitions, or writes them into a folder."""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from agentstop.api.crd import crds
from agentstop.api.reference import reference
from agentstop.cli.errors import UserError


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "crds", help="print the CustomResourceDefinitions", description="Prints the CustomResourceDefinitions as YAML."
    )
    parser.add_argument("--directory", type=Path, metavar="DIR", help="write one file each into this folder instead")
    parser.add_argument("--reference", action="store_true", help="print the field reference as Markdown instead")
    parser.set_defaults(carry_out=carry_out)


def carry_out(options: argparse.Namespace) -> int:
    """Print or write the CRDs."""
    if options.reference:
        sys.stdout.write(reference())
        return 0
    if options.directory is None:
        yaml.safe_dump_all(crds().values(), sys.stdout, sort_keys=False, width=110, explicit_start=True)
        return 0
    if not options.directory.is_dir():
        raise UserError(f"{options.directory} is not a folder; make it first")
    for name, crd in crds().items():
        text = yaml.safe_dump(crd, sort_keys=False, width=110, explicit_start=True)
        (options.directory / name).write_text(text, encoding="utf-8")
    return 0
