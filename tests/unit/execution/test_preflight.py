"""Before the start: what does not fit is refused, with the number that would."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ghostcore import VU, ConstantArrivalRate, ConstantVUs, InvalidPlan, run, scenario
from ghostcore.execution.plan import Plan, make_plan
from ghostcore.execution.preflight import asked_users, describe_machine, prepare, targets_of
from ghostcore.monitor.limits import SPARE_DESCRIPTORS, Limits, read_limits

ROOMY = Limits(descriptors_hard=10**7, ports=28_000, memory_bytes=10**13)


def plan_of(users: int, **env: str) -> Plan:
    @scenario(load=ConstantVUs(users, 1))
    async def one(vu: VU) -> None:
        """Nothing."""

    return make_plan([one], seed=1, env=env)


@pytest.fixture(autouse=True)
def restore_limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_is_raised_as_far_as_the_plan_needs() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    assert prepare(plan_of(10)) == []
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (256, hard), "it was enough"
    assert prepare(plan_of(500)) == []
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (500 + SPARE_DESCRIPTORS, hard)


def test_a_plan_that_is_too_big_is_refused_with_every_problem() -> None:
    tight = Limits(descriptors_hard=1000, ports=500, memory_bytes=10**6)
    with pytest.raises(InvalidPlan) as caught:
        prepare(plan_of(900, URL="ws://example.test/"), tight)
    assert len(caught.value.problems) == 3
    assert "at most 872 users fit" in caught.value.problems[0]
    assert "at most 61 users fit" in caught.value.problems[1]
    assert "at most 500 users fit" in caught.value.problems[2]


def test_or_tried_with_a_warning() -> None:
    tight = Limits(memory_bytes=10**6)
    warnings = prepare(replace(plan_of(900), allow_oversized=True), tight)
    assert len(warnings) == 1
    assert "at most 61 users fit" in warnings[0]


def test_a_run_that_cannot_be_is_refused_before_anything_starts() -> None:
    hard = read_limits().descriptors_hard
    assert hard is not None, "this machine has a limit of open files"
    ran = []

    @scenario(load=ConstantVUs(min(hard, 999_999), "1s"))
    async def one(vu: VU) -> None:
        ran.append(vu.id)

    with pytest.raises(InvalidPlan, match=f"at most {hard - SPARE_DESCRIPTORS} users fit"):
        run(one)
    assert ran == []


def test_users_at_one_time_are_what_counts() -> None:
    @scenario(load=ConstantVUs(10, 60, graceful_stop=5))
    async def first(vu: VU) -> None:
        """Nothing."""

    def asked(start_time: float) -> int:
        load = ConstantVUs(7, 60, start_time=start_time)
        second = replace(first, name="second", load=load)
        return asked_users(make_plan([first, second], seed=1))

    assert asked(0) == asked(64) == 17
    assert asked(65) == 10, "one after the other"


def test_users_that_a_load_model_makes_as_it_needs_them_were_not_asked_for() -> None:
    def asked(**users: int) -> int:
        @scenario(load=ConstantArrivalRate(1000, "60s", **users))  # type: ignore[arg-type]
        async def one(vu: VU) -> None:
            """Nothing."""

        return asked_users(make_plan([one], seed=1))

    assert asked() == 0
    assert asked(preallocated_vus=50) == 50
    assert asked(max_vus=70) == 70
    assert asked(preallocated_vus=50, max_vus=70) == 70


@pytest.mark.parametrize(
    ("env", "targets"),
    [
        ({}, []),
        ({"URL": "ws://example.test/feed"}, ["example.test:80"]),
        ({"URL": "wss://example.test"}, ["example.test:443"]),
        ({"A": "http://example.test:3001", "B": "ws://example.test:3001"}, ["example.test:3001"]),
        (
            {"A": "ws://a.test", "B": "ws://b.test", "C": "text", "D": "ftp://c.test"},
            ["a.test:80", "b.test:80"],
        ),
        ({"A": "ws://a.test", "B": "ws://127.0.0.1:9001"}, []),
        ({"A": "ws://localhost:9001"}, []),
        ({"A": "ws://[::1]:9001"}, []),
        ({"A": "ws://[broken", "B": "ws://h:99999999"}, []),
    ],
)
def test_servers_that_settings_name(env: dict[str, str], targets: list[str]) -> None:
    assert targets_of(plan_of(1, **env)) == targets


def test_loopback_has_many_addresses_to_connect_from() -> None:
    assert prepare(plan_of(50_000, URL="ws://127.0.0.1:9"), ROOMY) == []
    with pytest.raises(InvalidPlan, match="at most 28000 users fit"):
        prepare(plan_of(50_000, URL="ws://example.test"), ROOMY)


def test_the_machine_is_described() -> None:
    found = describe_machine()
    assert found["cores"] >= 1
    assert "picows" in found["versions"]
