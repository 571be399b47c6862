"""Ctrl-C, or a cluster that wants its machine back: a run ends after the step that it is in, and is saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate import Accelerator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignal:
    """While the block runs, the first signal is only remembered; a second one ends the process as usual."""

    def __init__(self) -> None:
        self.received = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():  # only there may signals be handled
            self._before = {number: signal.signal(number, self._remember) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def asked(self, accelerator: Accelerator) -> bool:
        """Whether any process was asked to stop: they have to end at the same step."""
        if accelerator.num_processes > 1:
            flag = torch.tensor(float(self.received), device=accelerator.device)
            self.received = bool(accelerator.reduce(flag, "sum") > 0)
        return self.received

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
