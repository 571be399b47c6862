"""One job at a time in a second thread.

A kernel handles one message after the other. If it wrote an answer itself, a click on Stop would wait in line until
the answer is complete.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from minivl.errors import InputError


class Background:
    """Runs jobs, one at a time. A job looks at `stopped` and ends early when it is set.

    on_busy: called with True when a job begins and with False when it has ended.
    """

    def __init__(self, on_busy: Callable[[bool], None]) -> None:
        self.on_busy = on_busy
        self.stopped = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="minivl")
        self._job: Future[Any] | None = None
        self._running = False

    def check_free(self) -> None:
        """Raises InputError while a job runs."""
        if self._running:
            raise InputError("the model is still at work: wait until it is done, or press Stop")

    def start(self, job: Callable[[], Any]) -> None:
        """Begin a job and return at once. Raises InputError while another one runs."""
        self.check_free()
        self.stopped.clear()
        self._running = True
        self.on_busy(True)
        self._job = self._pool.submit(self._run, job)

    def _run(self, job: Callable[[], Any]) -> Any:
        try:
            return job()
        finally:
            self._running = False
            self.on_busy(False)

    def stop(self) -> None:
        """Ask the job to end; returns at once."""
        self.stopped.set()

    def result(self) -> Any:
        """Wait for the last job. Returns what it returned, raises what it raised; None if there was none."""
        try:
            return None if self._job is None else self._job.result()
        except KeyboardInterrupt:  # the kernel was interrupted while a cell waited
            self.stop()
            raise

    def settle(self) -> None:
        """Wait until nothing runs. What was raised was shown where it happened, and is no news here."""
        if self._job is not None:
            wait([self._job])

    def interrupt(self) -> None:
        """Stop what runs and wait for its end."""
        self.stop()
        self.settle()

    def close(self) -> None:
        """End the thread."""
        self.interrupt()
        self._pool.shutdown()
