"""The way to the API server that KUBECONFIG names, with a token or a certificate."""

import ssl as tls
from typing import Any, Final

from tests.support.kube import Kube

from agentstop.cluster.connection import load_configuration

REQUEST_SECONDS: Final = 60.0
"""A server that is busy with ten thousand stops may take its time."""


async def connect() -> Kube:
    """Return a client, which is to be closed. Raises NoConnectionError."""
    configuration = await load_configuration()
    header = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    context: Any = None
    if configuration.host.startswith("https"):
        context = tls.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
        if not configuration.verify_ssl:
            context.check_hostname = False
            context.verify_mode = tls.CERT_NONE
    token = header.removeprefix("Bearer ") if header else None
    return Kube(configuration.host, token, context, seconds=REQUEST_SECONDS)
