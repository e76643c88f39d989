"""For a process that finds this folder in PYTHONPATH: its clock is CLOCK_SHIFT_S seconds ahead of the machine's.

Loaded by the interpreter before anything else. What tells no time of day, such as the monotonic clock, stays as it is.
"""

import os
import time

_SHIFT_NS = int(os.environ["CLOCK_SHIFT_S"]) * 1_000_000_000
_time_ns, _clock_gettime_ns = time.time_ns, time.clock_gettime_ns


def _clock(number: int) -> int:
    return _clock_gettime_ns(number) + (_SHIFT_NS if number == time.CLOCK_REALTIME else 0)


time.time_ns = lambda: _time_ns() + _SHIFT_NS
time.time = lambda: (_time_ns() + _SHIFT_NS) / 1e9
time.clock_gettime_ns = _clock
time.clock_gettime = lambda number: _clock(number) / 1e9
