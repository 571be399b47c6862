"""pytest --nbval notebooks/*.ipynb: prints how long each notebook took, from its kernel's start to its last cell."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

_started: dict[Path, float] = {}
_ended: dict[Path, float] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Called before each cell."""
    _started.setdefault(item.path, time.perf_counter())


def pytest_runtest_logfinish(location: tuple[str, int | None, str]) -> None:
    """Called after each cell."""
    _ended[list(_started)[-1]] = time.perf_counter()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of times."""
    terminalreporter.section("seconds of each notebook")
    for path, start in _started.items():
        terminalreporter.line(f"{_ended[path] - start:7.1f}  {path.name}")
    terminalreporter.line(f"{sum(_ended[path] - start for path, start in _started.items()):7.1f}  together")
