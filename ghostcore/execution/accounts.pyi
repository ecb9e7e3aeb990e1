from ghostcore.metrics.recorders import CounterRecorder, TrendRecorder
from ghostcore.sessions.session import Session

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
