"""An event loop that can jump over waiting: once told to, it has no timer waited for, only its time set on.

For code whose timers are the loop's own and whose work is all inside the process. Nothing there happens while all wait,
so a window of 4 s takes no longer than what is heard in it, and takes the same course each time.
"""

import asyncio
import selectors

from forewarn_shell.clock import Keeper


class _JumpingSelector(selectors.DefaultSelector):
    jumps = False
    ahead_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not self.jumps or not timeout or timeout < 0:
            return super().select(timeout)
        if ready := super().select(0):
            return ready
        self.ahead_s += timeout
        return []


class JumpingLoop(asyncio.SelectorEventLoop):
    """An ordinary loop until `jump` is called."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def jump(self) -> None:
        self._jumping.jumps = True

    def stall(self, seconds: float) -> None:
        """Let time pass in which the loop came to nothing, as on a machine that is busy."""
        self._jumping.ahead_s += seconds

    def time(self) -> float:
        return super().time() + self._jumping.ahead_s


class LoopClock:
    """The clock of the running loop, made to jump."""

    def __init__(self, epoch_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        assert isinstance(self._loop, JumpingLoop)
        self._loop.jump()
        self._epoch_s = epoch_s - self._loop.time()

    def utc(self) -> float:
        return self._epoch_s + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep_until(self, monotonic_s: float) -> None:
        await asyncio.sleep(max(0.0, monotonic_s - self._loop.time()))

    def suspended_s(self) -> float:
        return 0.0

    def kept_by(self) -> Keeper:
        return Keeper.TIME_SERVICE
