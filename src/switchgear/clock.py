"""Where time comes from.

Only this module and those who pass a clock in read time; the machine gets `now` as an argument.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time; give your own one to a breaker to test with simulated time."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        ...

    def time(self) -> float:
        """Seconds since the epoch, for people to read; never compared with another host's."""
        ...


class SystemClock:
    """The clock of the process."""

    # Bound as they are: a Python-level method around them would cost as much as a whole protected call.
    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


SYSTEM_CLOCK = SystemClock()
