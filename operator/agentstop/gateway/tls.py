"""TLS whose certificate is read anew when it changes: no renewal takes the gateway down."""

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Final

from agentstop.gateway.files import fingerprint

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0


class CertificateError(Exception):
    """The certificate or its key cannot be used; the message says why."""


class Certificate:
    """A certificate and its key, for connections from now on."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises CertificateError."""
        self._certificate = certificate
        self._key = key
        self._seen = self._fingerprints()
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self._load()
        except OSError as error:
            raise CertificateError(f"{certificate} with the key {key} cannot be used: {error}") from error

    async def keep_current(self) -> None:
        """Read the files anew when they change; until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Read the files anew, if they have changed. The former certificate stays where the new one cannot be used."""
        now = self._fingerprints()
        if now == self._seen:
            return
        self._seen = now
        try:
            # On a context of its own first: half of a new pair must not take the place of the former one.
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(self._certificate, self._key)
            self._load()
        except OSError as error:
            log.error("the new certificate cannot be used, and the former one stays: %s", error)
        else:
            log.info("the certificate has changed and was read anew")

    def _load(self) -> None:
        self.context.load_cert_chain(self._certificate, self._key)

    def _fingerprints(self) -> tuple[object, object]:
        return fingerprint(self._certificate), fingerprint(self._key)
