"""Real servers for the tests of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
import trustme
import uvloop

from ghostcore.testing.leaks import assert_no_leaks
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
def no_leaks() -> Iterator[None]:
    """Each test of this folder leaves nothing behind."""
    with assert_no_leaks():
        yield


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Any:
    """Runs a coroutine to its end on each kind of loop."""

    def execute(main: Coroutine[Any, Any, Any]) -> Any:
        return uvloop.run(main) if request.param == "uvloop" else asyncio.run(main)

    return execute
