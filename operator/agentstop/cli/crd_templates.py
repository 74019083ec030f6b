"""The CRDs as templates of the Helm chart.

Helm installs what a chart has in `crds/` once and never upgrades it; as templates they are upgraded and rolled back
with the release. Source: https://helm.sh/docs/chart_best_practices/custom_resource_definitions/
"""

from typing import Any, Final

import yaml

_FIRST_LINE: Final = "{{- if .Values.crds.enabled }}\n"
_METADATA: Final = '  {{- include "agentstop.crdMetadata" . | nindent 2 }}\n'
_LAST_LINE: Final = "{{- end }}\n"


def template(crd: dict[str, Any]) -> str:
    """Return the text of the template that renders as this CRD, with the chart's labels and annotations."""
    head = {key: crd[key] for key in ("apiVersion", "kind", "metadata")}
    rest = {key: value for key, value in crd.items() if key not in head}
    return _FIRST_LINE + _escaped(_text(head)) + _METADATA + _escaped(_text(rest)) + _LAST_LINE


def _text(part: dict[str, Any]) -> str:
    return yaml.safe_dump(part, sort_keys=False, width=110)


def _escaped(text: str) -> str:
    """Return text that the template engine leaves as it was; outside of an action only `{{` means something to it."""
    return text.replace("{{", '{{ "{{" }}')
