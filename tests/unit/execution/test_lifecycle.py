"""Set-up and teardown: once each, in their time, whatever happens between them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import ghostcore
from ghostcore import (
    VU,
    ConstantVUs,
    InvalidPlan,
    PerVUIterations,
    Result,
    RunControl,
    ScriptAborted,
    Threshold,
    Trend,
    UsageError,
    scenario,
)
from ghostcore.execution.lifecycle import passed_on
from ghostcore.execution.plan import make_plan
from ghostcore.report import summary_text
from ghostcore.results.json import to_dict
from ghostcore.testing import EchoServer
from ghostcore.testing.fakeclock import run_fake

T = Trend("t")


class Diary:
    """What happened, in its order."""

    def __init__(self) -> None:
        self.entries: list[Any] = []

    async def setup(self, env: Any) -> Any:
        self.entries.append("setup")
        await asyncio.sleep(2)
        return {"token": env.get("TOKEN", "none"), "ids": (1, 2)}

    async def teardown(self, data: Any) -> None:
        await asyncio.sleep(3)
        self.entries.append(("teardown", data))


def run_it(diary: Diary, play: Any = None, **options: Any) -> Result:
    load = options.pop("load", PerVUIterations(1, 1))
    stop_at = options.pop("stop_at", [])

    @scenario(load=load, thresholds=options.pop("thresholds", None))
    async def one(vu: VU) -> None:
        diary.entries.append(vu.data)
        await (play(vu) if play else vu.sleep(1))

    options.setdefault("setup", diary.setup)
    options.setdefault("teardown", diary.teardown)

    async def main() -> Result:
        control = RunControl()
        for at_s in stop_at:
            asyncio.get_running_loop().call_later(at_s, control.stop, "SIGINT")
        return await ghostcore.run_async(one, seed=1, control=control, **options)

    return run_fake(main)


DATA = {"token": "abc", "ids": [1, 2]}
TORN_DOWN = ("teardown", DATA)


def test_data_goes_from_the_set_up_to_users_and_the_teardown() -> None:
    diary = Diary()
    result = run_it(diary, env={"TOKEN": "abc"}, load=PerVUIterations(2, 1))
    assert diary.entries == ["setup", DATA, DATA, TORN_DOWN], "as msgpack carries it: a list"
    assert result.exit_code == 0
    assert result.setup_ms == pytest.approx(2000)
    assert result.teardown_ms == pytest.approx(3000)
    assert result.duration_s == pytest.approx(1, abs=0.1), "the load alone"
    assert "set-up 2s, teardown 3s" in summary_text(result)
    data = json.loads(json.dumps(to_dict(result)))
    assert (data["setup_ms"], data["teardown_ms"]) == (pytest.approx(2000), pytest.approx(3000))


def test_without_them() -> None:
    result = run_it(diary := Diary(), setup=None, teardown=None)
    assert diary.entries == [None]
    assert (result.setup_ms, result.teardown_ms) == (None, None)
    assert "set-up" not in summary_text(result)


def test_a_teardown_alone_and_with_the_settings() -> None:
    seen: list[Any] = []

    async def teardown(data: Any, env: Any) -> None:
        seen.append((data, dict(env)))

    async def setup() -> int:
        return 5

    run_it(Diary(), setup=None, teardown=teardown, env={"A": "b"})
    run_it(Diary(), setup=setup, teardown=teardown)
    assert seen == [(None, {"A": "b"}), (5, {})]


def test_a_set_up_that_fails_starts_no_load_and_is_torn_down() -> None:
    diary = Diary()

    async def setup(env: Any) -> None:
        raise KeyError("no account")

    result = run_it(diary, setup=setup, thresholds={T: "p(95)<1"})
    assert diary.entries == [("teardown", None)]
    assert (result.verdict, result.exit_code) == ("fail", 107)
    first, second = result.reasons
    assert first.startswith("setup failed: test_lifecycle.py:")
    assert first.endswith("KeyError: 'no account'")
    assert second == "the load was never started"
    (threshold,) = result.thresholds
    assert (threshold.verdict, threshold.reason) == (
        "undetermined",
        "not judged: the load was never started",
    )
    assert result.outcome.offered == 0
    json.dumps(to_dict(result), allow_nan=False)
    assert "exit code 107" in summary_text(result)


def test_a_set_up_that_refuses_the_run() -> None:
    diary = Diary()

    async def setup(env: Any) -> None:
        raise InvalidPlan(["no agent can log in"])

    with pytest.raises(InvalidPlan) as caught:
        run_it(diary, setup=setup)
    assert caught.value.problems == ("no agent can log in",)
    assert diary.entries == [("teardown", None)], "no load, but what was begun is undone"


def test_a_teardown_cannot_refuse_what_has_been_run() -> None:
    async def teardown(data: Any) -> None:
        raise InvalidPlan(["too late"])

    result = run_it(Diary(), teardown=teardown)
    assert result.exit_code == 107
    assert result.reasons[0].endswith("InvalidPlan: too late")


def test_script_errors_that_are_allowed_do_not_include_the_set_up() -> None:
    async def setup(env: Any) -> None:
        raise KeyError("no account")

    assert run_it(Diary(), setup=setup, allow_script_errors=True).exit_code == 107


def test_a_set_up_that_takes_too_long() -> None:
    diary = Diary()
    result = run_it(diary, setup_timeout="1500ms")
    assert diary.entries == ["setup", ("teardown", None)]
    assert result.exit_code == 107
    assert result.reasons[0] == "setup did not end within 1.5s (setup_timeout)"
    assert result.setup_ms == pytest.approx(1500, abs=1)


async def stubborn(*_args: Any) -> None:
    for _ in range(100):
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            continue


def test_functions_that_cannot_be_cancelled_are_left_behind() -> None:
    result = run_it(Diary(), setup=stubborn, teardown=stubborn, setup_timeout=5, teardown_timeout=5)
    assert result.exit_code == 107
    assert [reason for reason in result.reasons if "left behind" in reason] == [
        "setup was cancelled, but did not end within 2 s: it was left behind",
        "teardown was cancelled, but did not end within 2 s: it was left behind",
    ]
    assert result.teardown_ms == pytest.approx(7000, abs=1)


def test_a_teardown_that_fails_or_takes_too_long() -> None:
    async def fails(data: Any) -> None:
        raise ValueError("still there")

    result = run_it(Diary(), teardown=fails)
    assert (result.verdict, result.exit_code) == ("fail", 107)
    assert result.reasons[0].startswith("teardown failed: test_lifecycle.py:")
    assert result.metrics["iterations"].count == 1, "what was measured stands"
    allowed = run_it(Diary(), teardown=fails, allow_script_errors=True)
    assert allowed.exit_code == 0
    assert "still there" in allowed.warnings[0]
    late = run_it(Diary(), teardown_timeout=2)
    assert late.exit_code == 107
    assert late.reasons[0] == "teardown did not end within 2s (teardown_timeout)"


def test_data_that_cannot_be_passed_on() -> None:
    diary = Diary()

    async def setup(env: Any) -> Any:
        return {"users": [{"name": "a"}, {"name": object()}]}

    result = run_it(diary, setup=setup)
    assert diary.entries == [("teardown", None)]
    assert result.exit_code == 107
    assert result.reasons[0].startswith(
        "setup returned what cannot be passed on: data['users'][1]['name'] is object"
    )


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({1, 2}, r"data is set \{1, 2\}: expected None, bool, int"),
        ([2**70], r"data\[0\] is int 1180591620717411303424"),
        ({(1, 2): 3}, r"a key of data is tuple \(1, 2\)"),
        ({"a": [{object: 1}]}, r"a key of data\['a'\]\[0\] is type"),
        ("\ud800", r"data is str '\\ud800'"),
    ],
)
def test_what_cannot_be_passed_on_is_named(value: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        passed_on(value)


def test_data_without_an_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UsageError, match=r"data\[0\]\[0\]"):
        passed_on(endless)


def test_what_can_be_passed_on() -> None:
    plain = {"a": [1, 2.5, None, True, b"x"], 5: {"b": "text"}, "big": 2**64 - 1}
    assert passed_on(plain) == plain
    assert passed_on((1, (2,))) == [1, [2]]
    given = {"list": [1]}
    passed_on(given)["list"].append(2)
    assert given == {"list": [1]}


async def abort(vu: VU) -> None:
    await vu.sleep(1)
    vu.abort("seen enough")


async def slow(vu: VU) -> None:
    with vu.timer(T):
        await vu.sleep(5)


@pytest.mark.parametrize(
    ("exit_code", "options"),
    [
        (108, {"play": abort, "load": ConstantVUs(2, 600)}),
        (105, {"load": ConstantVUs(2, 600), "stop_at": [10]}),
        (105, {"load": ConstantVUs(2, 600), "stop_at": [10, 10.5]}),
        (
            99,
            {
                "play": slow,
                "load": ConstantVUs(2, 600),
                "thresholds": {T: Threshold("max<100", abort_on_fail=True)},
            },
        ),
    ],
)
def test_the_teardown_follows_whatever_ended_the_load(
    exit_code: int, options: dict[str, Any]
) -> None:
    diary = Diary()
    result = run_it(diary, env={"TOKEN": "abc"}, **options)
    assert result.exit_code == exit_code
    assert diary.entries[-1] == TORN_DOWN
    assert diary.entries.count(TORN_DOWN) == 1


def test_ctrl_c_in_the_set_up() -> None:
    diary = Diary()
    result = run_it(diary, stop_at=[1])
    assert diary.entries == ["setup", ("teardown", None)]
    assert (result.verdict, result.exit_code) == ("inconclusive", 105)
    assert result.reasons == ["interrupted: SIGINT", "the load was never started"]
    assert result.setup_ms == pytest.approx(1000)


def test_ctrl_c_before_the_set_up() -> None:
    diary = Diary()

    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        pytest.fail("it must not start")

    async def main() -> Result:
        control = RunControl()
        control.stop("SIGINT")
        return await ghostcore.run_async(
            one, control=control, setup=diary.setup, teardown=diary.teardown
        )

    assert run_fake(main).exit_code == 105
    assert diary.entries == [], "nothing was set up: there is nothing to tear down"


def test_one_more_ctrl_c_cuts_the_teardown_short() -> None:
    diary = Diary()
    # The load begins at 2 s and is stopped at 10; its iteration ends at once or at 11 s.
    result = run_it(diary, load=ConstantVUs(1, 600), stop_at=[10.5, 12])
    assert result.exit_code == 105
    assert diary.entries[-1] != TORN_DOWN
    assert result.warnings == ["teardown was cut short: what it was to undo may still be there"]
    assert result.teardown_ms == pytest.approx(1000, abs=1)


def test_an_abort_in_the_set_up() -> None:
    async def setup(env: Any) -> None:
        raise ScriptAborted("the server is in use")

    diary = Diary()
    result = run_it(diary, setup=setup)
    assert (result.exit_code, result.reasons[0]) == (
        108,
        "the script aborted the run: the server is in use",
    )
    assert diary.entries == [("teardown", None)]


def test_a_set_up_that_cancels_itself() -> None:
    async def setup(env: Any) -> None:
        raise asyncio.CancelledError

    result = run_it(Diary(), setup=setup)
    assert result.exit_code == 107
    assert result.reasons[0] == "setup failed: it cancelled itself"


def test_a_run_that_is_cancelled_is_torn_down() -> None:
    def cancelled_after(seconds: float) -> list[Any]:
        diary = Diary()

        @scenario(load=ConstantVUs(1, 600))
        async def one(vu: VU) -> None:
            await vu.sleep(1)

        async def main() -> None:
            run = ghostcore.run_async(one, setup=diary.setup, teardown=diary.teardown)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(run, seconds)

        run_fake(main)
        return diary.entries

    assert cancelled_after(1) == ["setup", ("teardown", None)]
    assert cancelled_after(10) == ["setup", ("teardown", {"token": "none", "ids": [1, 2]})]


def test_a_listener_that_fails_does_not_keep_the_teardown() -> None:
    class Listener:
        def started(self, plan: Any) -> None:
            """Nothing."""

        def progressed(self, progress: Any) -> None:
            raise KeyError("of the listener")

        def finished(self, result: Any) -> None:
            """Nothing."""

    diary = Diary()
    with pytest.raises(KeyError, match="of the listener"):
        run_it(diary, load=ConstantVUs(1, 600), listener=Listener())
    assert diary.entries[-1][0] == "teardown"


def test_a_set_up_may_use_sessions(no_leaks: None) -> None:
    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        assert vu.data == "hello"
        await vu.sleep(0)

    async def setup(env: Any) -> str | None:
        async with ghostcore.connect(env["URL"]) as session:
            await session.send("hello")
            return (await session.recv()).text

    async def main() -> Result:
        async with EchoServer() as server:
            return await ghostcore.run_async(one, setup=setup, env={"URL": server.url})

    assert asyncio.run(main()).exit_code == 0


async def nothing(vu: VU) -> None:
    """Nothing."""


def plain(*_: Any) -> None:
    """No coroutine function."""


async def greedy(data: Any, env: Any, more: Any) -> None:
    """Wants more than there is."""


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"setup": plain}, "setup must be a coroutine function, 'async def setup(env)', not <func"),
        (
            {"teardown": "x"},
            "teardown must be a coroutine function, 'async def teardown(data, env)'",
        ),
        (
            {"setup": greedy},
            "takes more than it is given: expected 'async def setup(env)', or less",
        ),
        ({"teardown": greedy}, "teardown(data"),
        ({"setup": Diary().setup, "setup_timeout": 0}, "setup_timeout must be more than 0"),
        ({"teardown_timeout": "10"}, "teardown_timeout must be seconds"),
    ],
)
def test_functions_that_cannot_be_are_told_with_the_plan(
    options: dict[str, Any], problem: str
) -> None:
    one = scenario(load=ConstantVUs(-1, 1))(nothing)
    with pytest.raises(InvalidPlan) as caught:
        make_plan([one], **options)
    told = "\n".join(caught.value.problems)
    assert problem in told
    assert "vus must be at least 1" in told


def test_the_plan_that_is_saved_says_how_long_they_may_take() -> None:
    one = scenario(load=ConstantVUs(1, 1))(nothing)
    plan = make_plan([one], setup=Diary().setup, setup_timeout="2m").to_dict()
    assert (plan["setup_timeout_s"], plan["teardown_timeout_s"]) == (120, None)
