from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from ghostcore.errors import UsageError
from ghostcore.testing import EchoServer, ServerDied, ServerProcess
from tests.support.raw_client import CLOSE, Closed, RawClient


def is_running(pid: int) -> bool:
    """A zombie that nobody has waited for does not run."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_runs_a_server_until_the_context_ends() -> None:
    async def use(url: str) -> None:
        client = await RawClient.open(url)
        client.send("across processes")
        assert await client.recv() == "across processes"
        await client.close()

    with ServerProcess(EchoServer) as server:
        pid = server.pid
        assert pid != os.getpid()
        assert server.url == f"ws://127.0.0.1:{server.port}"
        asyncio.run(use(server.url))
        with pytest.raises(UsageError, match="running already"):
            server.start()
    assert not is_running(pid)
    assert server.stderr() == ""


def test_works_in_async_code_and_closes_connections_with_1005() -> None:
    async def main() -> None:
        server = ServerProcess("ghostcore.testing.echo")
        async with server:
            client = await RawClient.open(server.url)
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))
            assert await client.recv() == Closed(1005)
            client.send_frame(CLOSE)
            await stopping
            await client.abort()

    asyncio.run(main())


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "broken_server.py"


def test_shows_why_a_server_did_not_come_up(module: Path) -> None:
    module.write_text("import sys; sys.exit('no such database')")
    with pytest.raises(ServerDied, match="ended before it listened\nno such database") as caught:
        ServerProcess("broken_server").start()
    assert caught.value.returncode == 1


def test_refuses_another_first_line(module: Path) -> None:
    module.write_text("print('hello', flush=True); import time; time.sleep(60)")
    with pytest.raises(ServerDied, match="said 'hello', not 'listening on URL'"):
        ServerProcess("broken_server").start()


def test_gives_up_on_a_server_that_says_nothing(module: Path) -> None:
    module.write_text("import time; time.sleep(60)")
    with pytest.raises(ServerDied, match=r"did not listen within 0\.2 s and was killed"):
        ServerProcess("broken_server", start_timeout_s=0.2).start()


def test_tells_that_a_server_died_meanwhile() -> None:
    server = ServerProcess(EchoServer)
    server.start()
    os.kill(server.pid, signal.SIGKILL)
    os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ServerDied, match="ended by itself with code -9"):
        server.stop()
    server.stop()


def test_a_dead_server_is_a_note_on_the_error_of_the_block() -> None:
    server = ServerProcess(EchoServer)
    with pytest.raises(KeyError) as caught, server:
        os.kill(server.pid, signal.SIGKILL)
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
        raise KeyError("the test's own")
    assert "ended by itself" in caught.value.__notes__[0]


def test_kills_a_server_that_ignores_sigterm(module: Path) -> None:
    module.write_text(
        textwrap.dedent(
            """
            import signal, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("listening on ws://127.0.0.1:1", flush=True)
            time.sleep(60)
            """
        )
    )
    server = ServerProcess("broken_server", stop_timeout_s=0.2)
    server.start()
    pid = server.pid
    with pytest.raises(ServerDied, match="did not end within"):
        server.stop()
    assert not is_running(pid)


def test_a_server_may_be_killed_and_is_given_more_environment() -> None:
    server = ServerProcess(EchoServer, env={"GHOSTCORE_TEST_SECRET": "hidden"})
    with server:
        pid = server.pid
        assert b"GHOSTCORE_TEST_SECRET=hidden" in Path(f"/proc/{pid}/environ").read_bytes()
        assert b"hidden" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        server.kill()
        assert not is_running(pid)
        with pytest.raises(UsageError, match="not running"):
            _ = server.pid
    assert server.url.startswith("ws://127.0.0.1:")
    server.kill()  # nothing is left to kill


def test_a_server_ends_with_the_process_that_started_it() -> None:
    script = (
        "from ghostcore.testing import ServerProcess; import os\n"
        "s = ServerProcess('ghostcore.testing.echo'); s.start()\n"
        "print(s.pid, flush=True); os._exit(0)"
    )

    async def main() -> None:
        starter = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            script,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)},
        )
        assert starter.stdout is not None
        pid = int(await starter.stdout.readline())
        await starter.wait()
        async with asyncio.timeout(20):
            while is_running(pid):
                await asyncio.sleep(0.02)

    asyncio.run(main())


def test_needs_to_be_started() -> None:
    server = ServerProcess(EchoServer)
    with pytest.raises(UsageError, match="no URL yet"):
        _ = server.url
    with pytest.raises(UsageError, match="not running"):
        _ = server.pid
    server.stop()  # nothing to stop, and nothing to complain of
