from ghostcore._engine import Session
from ghostcore._metrics import CounterRecorder, TrendRecorder

class SessionAccounts:
    def __init__(
        self,
        attempts: CounterRecorder,
        errors: CounterRecorder,
        opened: CounterRecorder,
        tcp: TrendRecorder,
        upgrade: TrendRecorder,
        connecting: TrendRecorder,
    ) -> None: ...
    def dialing(self) -> None: ...
    def opened(self, session: Session, tcp_ns: int) -> int: ...
