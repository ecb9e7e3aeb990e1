from collections.abc import Sequence

from ghostcore.errors import HandshakeRejected
from ghostcore.protocol.deflate_offer import DeflateOffer
from ghostcore.protocol.upgrade import Answer

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
        judge: Judge | None = None,
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
