"""TLS contexts: made once for each choice, since one costs milliseconds and hundreds of KiB."""

from __future__ import annotations

import ssl
from pathlib import Path

from ghostcore.errors import UsageError

__all__ = ["TlsContexts"]

_Stamp = tuple[int, int, int]
"""What tells one state of a file from another: its inode, size and time of change."""


class TlsContexts:
    """The contexts that those who share routes have in common.

    A context made of a file of certificates is made anew once the file has changed, so that a
    renewed authority needs no new process.
    """

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[tuple[str | None, bool], tuple[_Stamp | None, ssl.SSLContext]] = {}

    def context(self, verify: ssl.SSLContext | str | None, insecure: bool) -> ssl.SSLContext:
        """The context of a session.

        :param verify: a context of the caller, the path of a PEM file with CA certificates, or None
            for the system's.
        :param insecure: accept any certificate.
        :raises UsageError: `verify` is no such file, or contradicts `insecure`.
        """
        if isinstance(verify, ssl.SSLContext):
            if insecure:
                raise UsageError("insecure=True contradicts ssl=: configure the context instead")
            return verify
        key = (verify, insecure)
        stamp = None if verify is None else _stamp_of(verify)
        made = self._made.get(key)
        if made is None or made[0] != stamp:
            made = self._made[key] = (stamp, _make(verify, insecure))
        return made[1]


def _stamp_of(path: str) -> _Stamp:
    try:
        found = Path(path).stat()
    except OSError:
        raise UsageError(
            f"ssl={path!r}: no such file; expected a PEM file of CA certificates"
        ) from None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _make(verify: str | None, insecure: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=verify)
    except ssl.SSLError as error:
        raise UsageError(f"ssl={verify!r} is no PEM file of certificates: {error}") from None
    except OSError as error:
        raise UsageError(f"ssl={verify!r} cannot be read: {error.strerror or error}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
