from collections.abc import Sequence

from ghostcore.errors import HandshakeRejected
from ghostcore.protocol.deflate_offer import DeflateOffer
from ghostcore.protocol.upgrade import Answer

class Judge:
    """What attempts that offer the same remember of the answers that they have had.

    :param subprotocols: the names that the request offers.
    :param deflate: the compression that it offers, or None.
    """

    def __init__(
        self, subprotocols: tuple[str, ...] = (), deflate: DeflateOffer | None = None
    ) -> None: ...
    def read(self, key: bytes, data: bytes) -> Answer | HandshakeRejected | None:
        """See ``_upgrade.read_answer``."""
    @property
    def known(self) -> int:
        """How many different answers are remembered."""

class Request:
    """What attempts at the same URL with the same options have in common.

    :param netloc: host and port for the Host header, unless `headers` has one.
    :param resource: path and query.
    :param headers: in addition to those that the upgrade needs.
    :param subprotocols: names to offer.
    :param deflate: compression to offer, or None.
    :param judge: of the answers, for requests that share what is known of them; one of its own
        unless given.
    """

    def __init__(
        self,
        netloc: str,
        resource: str,
        headers: Sequence[tuple[str, str]] = (),
        subprotocols: Sequence[str] = (),
        deflate: DeflateOffer | None = None,
        judge: Judge | None = None,
    ) -> None: ...
    def upgrade(self) -> Upgrade:
        """An attempt with a key of its own."""

class Upgrade:
    """One attempt, made by :meth:`Request.upgrade`: its request, and the judge of the answer.

    :ivar key: the key in the request.
    :ivar request: the bytes to send.
    :ivar refusal: what was refused while its body is still coming: to be raised if no more comes.
    """

    @property
    def key(self) -> bytes:
        """The key in the request."""
    @property
    def request(self) -> bytes:
        """The bytes to send."""
    @property
    def refusal(self) -> HandshakeRejected | None:
        """What was refused while its body is still coming: to be raised if no more comes."""
    def read(self, data: bytes) -> Answer | None:
        """Judge the answer by the rules of RFC 6455 section 4.1.

        :param data: all bytes that have come so far.
        :returns: None while the answer is not whole, or the body of a refusal, whose length it
            tells, has not come (as far as it is kept).
        :raises HandshakeRejected: kind ``upgrade_rejected`` for another status, ``upgrade_invalid``
            for an answer that is none.
        """

def accept_of(key: bytes) -> bytes:
    """What the server must put into Sec-WebSocket-Accept (RFC 6455 section 4.2.2).

    :param key: up to 83 bytes; a key has 24.
    """
