"""Real servers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trustme

from tests.integration.node_servers import NodeServers


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that nobody else trusts."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The PEM file of that authority."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def node(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeServers]:
    """The Node servers; their certificate is for ``localhost``."""
    directory = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(directory / "server.key"))
    (directory / "server.pem").write_bytes(
        b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    )
    servers = NodeServers.start(directory)
    yield servers
    servers.stop()


@pytest.fixture(autouse=True)
def clean(no_leaks: None) -> None:
    """Each test of this folder leaves nothing behind."""
