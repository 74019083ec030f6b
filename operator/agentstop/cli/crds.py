"""`agentstop crds`: prints the CustomResourceDefinitions, or writes them into a folder."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from agentstop.api.crd import crds
from agentstop.api.reference import reference
from agentstop.cli.crd_templates import template
from agentstop.cli.errors import UserError


def add_parser(verbs: Any, about: str) -> None:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "crds", help=about, description="Prints the CustomResourceDefinitions as YAML."
    )
    parser.add_argument("--directory", type=Path, metavar="DIR", help="write one file each into this folder instead")
    parser.add_argument("--templates", type=Path, metavar="DIR", help="write them into this folder as Helm templates")
    parser.add_argument("--reference", action="store_true", help="print the field reference as Markdown instead")
    parser.set_defaults(carry_out=carry_out)


def carry_out(options: argparse.Namespace) -> int:
    """Print or write the CRDs."""
    if options.reference:
        sys.stdout.write(reference())
        return 0
    if options.directory is None and options.templates is None:
        yaml.safe_dump_all(crds().values(), sys.stdout, sort_keys=False, width=110, explicit_start=True)
    if options.directory is not None:
        _write(options.directory, {name: _manifest(crd) for name, crd in crds().items()})
    if options.templates is not None:
        _write(options.templates, {name: template(crd) for name, crd in crds().items()})
    return 0


def _manifest(crd: dict[str, Any]) -> str:
    return yaml.safe_dump(crd, sort_keys=False, width=110, explicit_start=True)


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; make it first")
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
