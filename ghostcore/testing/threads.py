"""A test server in a thread of its own: for code that blocks its own thread, as ``run()`` does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from ghostcore.errors import UsageError
from ghostcore.testing._main import Servable

__all__ = ["ServerThread"]

ServerT = TypeVar("ServerT", bound=Servable)
ResultT = TypeVar("ResultT")

_START_TIMEOUT_S = 30.0


class ServerThread(Generic[ServerT]):
    """Runs servers of this package on an event loop in another thread while the context is open.

    ::

        with ServerThread(FaultProxy(3001)) as thread:
            result = ghostcore.run(chat, env={"URL": thread.server.url})
            thread.call(thread.server.freeze)

    :param server: not started yet.
    """

    def __init__(self, server: ServerT) -> None:
        self.server = server
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """The server's URL."""
        return self.server.url

    @overload
    def call(
        self, function: Callable[..., Coroutine[Any, Any, ResultT]], *arguments: Any
    ) -> ResultT: ...

    @overload
    def call(self, function: Callable[..., ResultT], *arguments: Any) -> ResultT: ...

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function on the server's loop and return its result; a coroutine function's too.

        Servers are not thread-safe: whatever changes one while it runs goes through here.
        """
        if self._thread is None:
            raise UsageError("the server's thread is not running: enter `with` first")

        async def called() -> Any:
            result = function(*arguments)
            return await result if isinstance(result, Coroutine) else result

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result()

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise UsageError("the server's thread is running already")
        self._thread = threading.Thread(target=self._main, name="test server", daemon=True)
        self._thread.start()
        if not self._started.wait(_START_TIMEOUT_S):
            raise TimeoutError(f"the server did not listen within {_START_TIMEOUT_S} s")
        if self._failure is not None:
            self._thread.join()
            self._thread = None
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        thread, self._thread = self._thread, None
        assert thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await self.server.start()
        try:
            self._started.set()
            await self._stop.wait()
        finally:
            await self.server.stop()
