"""Whether traces are sent: off unless OTEL_EXPORTER_OTLP_ENDPOINT is set."""

import logging
from collections.abc import Mapping
from typing import Final

from agentstop.controller.spans import NO_TRACING, Tracing

log = logging.getLogger(__name__)

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN: Final = "http/protobuf"
"""Source: https://opentelemetry.io/docs/specs/otel/protocol/exporter/"""


def tracing_from(environment: Mapping[str, str]) -> Tracing:
    """Return what OpenTelemetry's environment variables ask for. What cannot be had is said once, in the log."""
    off = (
        environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none"
    )
    endpoint = next((name for name in ENDPOINTS if environment.get(name)), None)
    if off or endpoint is None:
        return NO_TRACING
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), SPOKEN)
    if protocol != SPOKEN:
        log.warning("no traces are sent: the protocol is to be %s, and agentstop speaks %s only", protocol, SPOKEN)
        return NO_TRACING
    try:
        from agentstop.controller.otlp import exporting
    except ImportError:
        log.warning("no traces are sent: %s is set, but pip install 'agentstop[tracing]' was not done", endpoint)
        return NO_TRACING
    try:
        return exporting()
    except Exception as error:  # noqa: BLE001  (traces are never worth an operator that does not start)
        log.warning("no traces are sent: what OTEL_EXPORTER_OTLP_* say cannot be used: %s", type(error).__name__)
        return NO_TRACING
