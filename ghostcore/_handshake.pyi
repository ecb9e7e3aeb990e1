from collections.abc import Sequence

from ghostcore._extension import DeflateOffer
from ghostcore._upgrade import Answer
from ghostcore.errors import HandshakeRejected

class Judge:
    def __init__(
        self, subprotocols: tuple[str, ...] = (), deflate: DeflateOffer | None = None
    ) -> None: ...
    def read(self, key: bytes, data: bytes) -> Answer | HandshakeRejected | None: ...
    @property
    def known(self) -> int: ...

class Request:
    def __init__(
        self,
        netloc: str,
        resource: str,
        headers: Sequence[tuple[str, str]] = (),
        subprotocols: Sequence[str] = (),
        deflate: DeflateOffer | None = None,
    ) -> None: ...
    def upgrade(self) -> Upgrade: ...

class Upgrade:
    @property
    def key(self) -> bytes: ...
    @property
    def request(self) -> bytes: ...
    @property
    def refusal(self) -> HandshakeRejected | None: ...
    def read(self, data: bytes) -> Answer | None: ...

def accept_of(key: bytes) -> bytes: ...
