import asyncio
import sqlite3
import time

import pytest
from aiohttp import ClientSession, web

from forewarn_simulations.clocks import ClockStalled, ScaledClock, VirtualClock

EPOCH_S = 1_700_000_000.0


async def beat(clock: VirtualClock, period_s: float, log: list[tuple[str, float]], name: str) -> None:
    while True:
        await clock.sleep_until(clock.monotonic() + period_s)
        log.append((name, clock.monotonic()))


async def test_a_day_passes_without_waiting_and_every_sleeper_wakes_at_its_deadline() -> None:
    clock, log = VirtualClock(EPOCH_S), []
    started = time.perf_counter()
    tasks = [asyncio.create_task(beat(clock, period, log, str(period))) for period in (600, 900)]
    await clock.run_for(86_400)
    assert time.perf_counter() - started < 5
    assert clock.utc() == EPOCH_S + 86_400
    assert [at for name, at in log if name == "600"] == [600.0 * n for n in range(1, 145)]
    assert [at for name, at in log if name == "900"] == [900.0 * n for n in range(1, 97)]
    assert [at for _, at in log] == sorted(at for _, at in log)
    for task in tasks:
        task.cancel()


async def test_what_is_due_at_the_very_end_of_a_run_has_happened_when_it_returns() -> None:
    clock, log = VirtualClock(), []
    task = asyncio.create_task(beat(clock, 10, log, "a"))
    await clock.run_until(30)
    assert [at for _, at in log] == [10, 20, 30]
    task.cancel()


async def test_a_task_can_sleep_without_anybody_driving() -> None:
    clock = VirtualClock()
    await clock.sleep_until(42)
    assert clock.monotonic() == 42


async def test_the_owner_of_a_task_group_waits_for_its_tasks_without_holding_the_time() -> None:
    clock, woken = VirtualClock(), []

    async def sleeper(until_s: float) -> None:
        await clock.sleep_until(until_s)
        woken.append(clock.monotonic())

    async def owner() -> None:
        await clock.sleep_until(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(sleeper(5))
            group.create_task(sleeper(3))
        woken.append(clock.monotonic() + 1000)
        await clock.sleep_until(7)
        woken.append(clock.monotonic())

    async with asyncio.TaskGroup() as group:
        group.create_task(owner())
    assert woken == [3, 5, 1005, 7]


async def test_time_stands_still_while_a_task_works_in_a_thread() -> None:
    clock, log, seen = VirtualClock(), [], []

    async def reader() -> None:
        await clock.sleep_until(15)
        for _ in range(3):
            before = clock.monotonic()
            await asyncio.to_thread(_query)
            seen.append(clock.monotonic() - before)
        await clock.sleep_until(100)

    tasks = [asyncio.create_task(reader()), asyncio.create_task(beat(clock, 1, log, "a"))]
    await clock.run_until(60)
    assert seen == [0, 0, 0]
    for task in tasks:
        task.cancel()


def _query() -> None:
    time.sleep(0.02)
    with sqlite3.connect(":memory:") as database:
        database.execute("SELECT 1").fetchall()
    database.close()


async def test_a_new_task_holds_the_time_until_its_first_sleep_even_if_it_does_real_io_first() -> None:
    clock, log, started_at = VirtualClock(), [], []

    async def newborn() -> None:
        await asyncio.to_thread(_query)
        started_at.append(clock.monotonic())
        await clock.sleep_until(clock.monotonic() + 5)

    async def parent() -> None:
        await clock.sleep_until(50)
        async with asyncio.TaskGroup() as group:
            group.create_task(newborn())

    others = asyncio.create_task(beat(clock, 1, log, "a"))
    running = asyncio.create_task(parent())
    await clock.run_until(200)
    assert started_at == [50]
    assert running.done()
    others.cancel()


async def test_a_task_started_while_no_time_runs_begins_at_the_time_of_its_start() -> None:
    clock, seen = VirtualClock(), []

    async def newborn() -> None:
        await asyncio.to_thread(_query)
        seen.append(clock.monotonic())

    await clock.run_for(10)
    task = asyncio.create_task(newborn())
    await clock.run_for(1000)
    assert seen == [10]
    await task


async def test_the_driver_holds_the_time_between_its_runs() -> None:
    clock, log = VirtualClock(), []
    await clock.run_for(0)
    task = asyncio.create_task(beat(clock, 1, log, "a"))
    await asyncio.to_thread(_query)
    assert log == []
    await clock.run_for(3)
    await asyncio.to_thread(_query)
    assert len(log) == 3
    task.cancel()


async def test_time_stands_still_while_real_http_is_on_its_way() -> None:
    clock, log = VirtualClock(EPOCH_S), []

    async def answer(_request: web.Request) -> web.Response:
        await asyncio.to_thread(_query)
        return web.Response(text=str(clock.monotonic()))

    async def client(address: str, answers: list[tuple[float, float]]) -> None:
        async with ClientSession() as session:
            while True:
                await clock.sleep_until(clock.monotonic() + 7)
                asked = clock.monotonic()
                async with session.get(address) as response:
                    answers.append((asked, float(await response.text())))

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    answers: list[tuple[float, float]] = []
    tasks = [
        asyncio.create_task(client(f"http://127.0.0.1:{port}/", answers)),
        asyncio.create_task(beat(clock, 0.5, log, "a")),
    ]
    await clock.run_for(71)
    assert len(answers) == 10
    assert all(asked == answered for asked, answered in answers)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await runner.cleanup()


async def test_a_task_cancelled_in_its_sleep_holds_no_time_and_wakes_nobody() -> None:
    clock, log = VirtualClock(), []
    short, long = (asyncio.create_task(beat(clock, period, log, str(period))) for period in (10, 25))
    await clock.run_until(12)
    short.cancel()
    await clock.run_until(60)
    assert log == [("10", 10), ("25", 25), ("25", 50)]
    assert short.cancelled()
    long.cancel()


async def test_a_cancelled_task_may_still_do_real_work_before_it_ends() -> None:
    clock, log, closed_at = VirtualClock(), [], []

    async def careful() -> None:
        try:
            await clock.sleep_until(1e9)
        finally:
            await asyncio.to_thread(_query)
            closed_at.append(clock.monotonic())

    other, task = asyncio.create_task(beat(clock, 1, log, "a")), asyncio.create_task(careful())
    await clock.run_until(5)
    task.cancel()
    await clock.run_until(500)
    assert closed_at == [5]
    other.cancel()


async def test_a_task_that_times_out_its_sleep_can_sleep_again() -> None:
    clock = VirtualClock()

    async def impatient() -> float:
        try:
            async with asyncio.timeout(0.02):
                await asyncio.Event().wait()
        except TimeoutError:
            await clock.sleep_until(9)
        return clock.monotonic()

    task = asyncio.create_task(impatient())
    await clock.run_until(20)
    assert task.result() == 9


async def test_equal_deadlines_wake_one_after_the_other_in_the_order_of_their_sleeps() -> None:
    clock, log = VirtualClock(), []

    async def step(name: str) -> None:
        await clock.sleep_until(5)
        log.append(f"{name} begins")
        await asyncio.to_thread(_query)
        log.append(f"{name} ends")

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(step(name))
    assert log == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]


async def test_a_jump_moves_the_unix_time_and_no_deadline() -> None:
    clock, log = VirtualClock(EPOCH_S), []
    task = asyncio.create_task(beat(clock, 10, log, "a"))
    await clock.run_until(15)
    clock.jump(-7200)
    assert clock.utc() == EPOCH_S + 15 - 7200
    assert clock.monotonic() == 15
    await clock.run_until(30)
    assert [at for _, at in log] == [10, 20, 30]
    task.cancel()


async def test_a_deadline_that_has_passed_gives_the_others_a_turn_and_costs_no_time() -> None:
    clock, turns = VirtualClock(), []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    await clock.sleep_until(-5)
    assert turns == [1]
    assert clock.monotonic() == 0


async def test_nobody_is_woken_at_infinity() -> None:
    clock = VirtualClock()
    task = asyncio.create_task(clock.sleep_until(float("inf")))
    await clock.run_until(1e6)
    assert not task.done()
    task.cancel()
    with pytest.raises(ValueError, match="number"):
        await clock.sleep_until(float("nan"))


async def test_a_clock_that_cannot_go_on_names_the_task_it_waits_for() -> None:
    clock = VirtualClock(stall_s=0.05)

    async def waits_for_nothing() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(waits_for_nothing(), name="the culprit")
    with pytest.raises(ClockStalled, match="the culprit"):
        await clock.run_until(10)
    task.cancel()


async def test_slow_work_is_no_stall() -> None:
    clock = VirtualClock(stall_s=0.05)

    async def slow_but_steady() -> None:
        for _ in range(6):
            await clock.sleep_until(clock.monotonic() + 1)
            await asyncio.to_thread(time.sleep, 0.03)

    async with asyncio.TaskGroup() as group:
        group.create_task(slow_but_steady())
    assert clock.monotonic() == 6


async def test_waiting_for_real_work_burns_no_processor() -> None:
    clock = VirtualClock()

    async def long_query() -> None:
        await clock.sleep_until(1)
        await asyncio.to_thread(time.sleep, 0.3)

    task = asyncio.create_task(long_query())
    before = time.process_time()
    await clock.run_until(10)
    assert time.process_time() - before < 0.1
    await task


def test_a_clock_made_before_the_loop_watches_what_the_loop_then_runs() -> None:
    clock, log = VirtualClock(), []

    async def story() -> None:
        await clock.run_for(0)
        task = asyncio.create_task(beat(clock, 10, log, "a"))
        await clock.run_for(100)
        task.cancel()

    asyncio.run(story())
    assert len(log) == 10


async def test_a_scaled_clock_runs_faster_by_its_factor() -> None:
    clock = ScaledClock(EPOCH_S, 1000)
    real = time.monotonic()
    await clock.sleep_until(100)
    assert clock.monotonic() >= 100
    assert 0.09 < time.monotonic() - real < 2
    assert clock.utc() == pytest.approx(EPOCH_S + clock.monotonic(), abs=50)


async def test_a_scaled_clock_jumps_when_it_is_told_to_and_never_steps_its_monotonic_time() -> None:
    clock = ScaledClock(EPOCH_S, 1000, jumps=[(20, 3600), (0, 60)])
    assert clock.utc() - clock.monotonic() == pytest.approx(EPOCH_S + 60, abs=5)
    before = clock.monotonic()
    await clock.sleep_until(25)
    assert clock.utc() - clock.monotonic() == pytest.approx(EPOCH_S + 3660, abs=5)
    assert 0 <= clock.monotonic() - before < 2000


@pytest.mark.parametrize("factor", [0.0, -1.0, float("inf"), float("nan")])
def test_a_scaled_clock_refuses_a_factor_that_is_no_speed(factor: float) -> None:
    with pytest.raises(ValueError, match="factor"):
        ScaledClock(EPOCH_S, factor)


async def test_a_sleeper_that_was_cancelled_holds_the_time_until_it_has_ended() -> None:
    """The owner of a group whose member failed still has to see it: no time passes before that."""
    clock = VirtualClock()
    ended_s: list[float] = []

    async def fails() -> None:
        await clock.sleep_until(1)
        raise ZeroDivisionError

    async def owner() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                for _ in range(3):
                    group.create_task(clock.sleep_until(9_000))
        except* ZeroDivisionError:
            ended_s.append(clock.monotonic())

    await clock.run_for(0)
    task = asyncio.create_task(owner())
    await clock.run_for(7_200)
    assert ended_s == [1]
    await task


async def test_over_a_suspend_nobody_does_anything_and_who_should_have_woken_wakes_late() -> None:
    clock, woken = VirtualClock(EPOCH_S), list[tuple[str, float]]()
    tasks = [asyncio.create_task(beat(clock, period_s, woken, str(period_s))) for period_s in (10, 5000)]
    await clock.run_for(15)
    clock.suspend(3600)
    assert clock.suspended_s() == 3600
    assert clock.utc() == EPOCH_S + clock.monotonic() == EPOCH_S + 3615
    await clock.run_for(5)
    assert woken == [("10", 10), ("10", 3615)]
    await clock.run_for(2000)
    assert woken[-1] == ("10", 5615)
    assert ("5000", 5000) in woken
    for task in tasks:
        task.cancel()
