"""TLS, and a certificate that is renewed while the gateway runs."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from agentstop.gateway.tls import Certificate, CertificateError
from tests.support.clusters import Cluster
from tests.support.gateways import Gateway
from tests.support.programs import Program
from tests.support.waiting import PATIENCE, until

from .conftest import gateway_kubeconfig


async def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    found = folder / f"{name}.crt", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(found[0]), "-keyout", str(found[1])]
    maker = await Program.start(command, folder / f"{name}.log")
    assert await maker.ended(PATIENCE) == 0, maker.text()
    return found


@pytest.fixture
async def serving(cluster: Cluster, tmp_path: Path) -> AsyncIterator[tuple[Gateway, Path, Path]]:
    first = await certificate(tmp_path, "first")
    used = tmp_path / "tls.crt", tmp_path / "tls.key"
    for source, target in zip(first, used, strict=True):
        target.write_bytes(source.read_bytes())
    options = ["--tls-cert", str(used[0]), "--tls-key", str(used[1])]
    gateway = await Gateway.start(cluster, kubeconfig=gateway_kubeconfig(cluster), options=options, wait=False)
    gateway.url = gateway.url.replace("http://", "https://")
    yield gateway, *used
    await gateway.program.end()


async def answers_with(gateway: Gateway, trusted: Path) -> bool:
    context = ssl.create_default_context(cafile=str(trusted))
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/healthz", ssl=context) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def test_a_renewed_certificate_is_used(serving: tuple[Gateway, Path, Path], tmp_path: Path) -> None:
    gateway, used, key = serving
    await until(lambda: answers_with(gateway, tmp_path / "first.crt"), PATIENCE, "served with the first certificate")
    second = await certificate(tmp_path, "second")
    used.write_bytes(b"half of a")
    await until(lambda: "former one stays" in gateway.program.text(), PATIENCE, "the half certificate noticed")
    assert await answers_with(gateway, tmp_path / "first.crt")
    key.write_bytes(second[1].read_bytes())
    used.write_bytes(second[0].read_bytes())
    await until(lambda: answers_with(gateway, second[0]), PATIENCE, "served with the second certificate")
    assert not await answers_with(gateway, tmp_path / "first.crt")


async def test_one_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="cannot be used"):
        Certificate(tmp_path / "no.crt", tmp_path / "no.key")
