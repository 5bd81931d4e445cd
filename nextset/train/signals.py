"""Ctrl-C and SIGTERM as a wish that a loop looks at between two steps; asked twice, they stop at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any


class Stop:
    """Inside the block, `asked` is the number of the signal that came, or 0. `told` is called when the first comes."""

    def __init__(self, told: Callable[[], None]) -> None:
        self.asked, self.told = 0, told
        self._owner = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        try:
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:
            self._before = {}  # not the main thread: whoever runs us handles signals
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            return  # a process that reads data: the loop that it reads for decides
        if self.asked:
            raise KeyboardInterrupt
        self.asked = number
        self.told()
