"""TLS contexts: which are shared, which are made anew, and what no context can be made of."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
import trustme

from ghostcore.errors import UsageError
from ghostcore.opening.tls import TlsContexts


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    return file


def test_the_same_choice_shares_a_context(ca_file: Path) -> None:
    contexts = TlsContexts()
    system = contexts.context(None, insecure=False)
    own = contexts.context(str(ca_file), insecure=False)
    assert contexts.context(None, insecure=False) is system
    assert contexts.context(str(ca_file), insecure=False) is own
    assert own is not system
    assert TlsContexts().context(None, insecure=False) is not system


def test_the_systems_context_checks_the_certificate_and_the_name() -> None:
    context = TlsContexts().context(None, insecure=False)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    expected = ssl.create_default_context().cert_store_stats()
    assert context.cert_store_stats() == expected


def test_a_file_takes_the_place_of_the_systems_authorities(ca_file: Path) -> None:
    context = TlsContexts().context(str(ca_file), insecure=False)
    (known,) = context.get_ca_certs(binary_form=True)
    assert ssl.DER_cert_to_PEM_cert(known) == ca_file.read_text()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_insecure_has_a_context_of_its_own(ca_file: Path) -> None:
    contexts = TlsContexts()
    secure = contexts.context(str(ca_file), insecure=False)
    insecure = contexts.context(str(ca_file), insecure=True)
    assert insecure is not secure
    assert (insecure.verify_mode, insecure.check_hostname) == (ssl.CERT_NONE, False)
    assert (secure.verify_mode, secure.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert contexts.context(str(ca_file), insecure=True) is insecure


def test_a_callers_context_is_used_as_it_is() -> None:
    contexts, own = TlsContexts(), ssl.create_default_context()
    assert contexts.context(own, insecure=False) is own
    with pytest.raises(UsageError, match="insecure=True contradicts ssl="):
        contexts.context(own, insecure=True)
    assert own.verify_mode is ssl.CERT_REQUIRED


def test_a_file_that_was_replaced_is_read_again(ca_file: Path, tmp_path: Path) -> None:
    """A renewal is often a rename, with a time of change and a size that may be the old ones."""
    contexts = TlsContexts()
    first = contexts.context(str(ca_file), insecure=False)
    renewed = tmp_path / "renewed.pem"
    renewed.write_bytes(ca_file.read_bytes())
    stat = ca_file.stat()
    os.utime(renewed, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    renewed.rename(ca_file)
    second = contexts.context(str(ca_file), insecure=False)
    assert second is not first
    assert contexts.context(str(ca_file), insecure=False) is second


def test_a_file_that_goes_bad_and_comes_back(ca_file: Path) -> None:
    contexts = TlsContexts()
    path, good = str(ca_file), ca_file.read_bytes()
    first = contexts.context(path, insecure=False)
    ca_file.write_text("no certificate")
    for _ in range(2):  # a context of before must not hide it
        with pytest.raises(UsageError, match="no PEM file of certificates"):
            contexts.context(path, insecure=False)
    ca_file.unlink()
    with pytest.raises(UsageError, match="no such file"):
        contexts.context(path, insecure=False)
    ca_file.write_bytes(good)
    assert contexts.context(path, insecure=False).get_ca_certs() == first.get_ca_certs()


def test_what_is_there_but_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read") as caught:
        TlsContexts().context(str(tmp_path), insecure=False)  # a directory
    assert repr(str(tmp_path)) in str(caught.value)
