"""Logs of the operator and the playground, for people or for machines."""

import logging
import sys
from typing import Final

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

NOISY: Final = ("kopf", "asyncio", "aiohttp", "kubernetes")
"""Loggers of libraries, heard only from warnings on unless more is asked for."""

OF_KOPF: Final = ("settings", "k8s_skip")
"""What kopf gives its entries for its own use; it is no text, and no business of a log's reader."""


def set_up_logs(*, json: bool, verbose: bool) -> None:
    """Log to standard error, one line an entry."""
    handler = logging.StreamHandler(sys.stderr)
    if json:
        names = {"levelname": "level", "name": "logger"}
        fields = "%(levelname)s %(name)s %(message)s"
        reserved = [*RESERVED_ATTRS, *OF_KOPF]
        handler.setFormatter(JsonFormatter(fields, rename_fields=names, timestamp="time", reserved_attrs=reserved))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
