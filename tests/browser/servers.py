"""Notebook servers on a free port of this machine only, without a token, stopped when the block ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
START = 90  # seconds that a server may take


def free_port() -> int:
    """A port that nobody listens to at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def jupyter_lab(folder: Path, *options: str) -> Iterator[str]:
    """JupyterLab on a folder; yields its address."""
    port = free_port()
    settings = (
        "--no-browser", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}", "--IdentityProvider.token=", "--ServerApp.allow_root=True",
        "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    )  # fmt: skip
    with _server(folder, "jupyterlab", *settings, *options, ready=f"http://127.0.0.1:{port}/api") as _:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def voila(notebook: Path, *options: str) -> Iterator[str]:
    """One notebook as a web page, with the settings of the voila.json beside it; yields its address."""
    port = free_port()
    settings = (str(notebook), "--no-browser", f"--port={port}", *options)
    address = f"http://127.0.0.1:{port}"
    with _server(notebook.parent, "voila", *settings, ready=f"{address}/voila/static/voila.js"):
        yield address


@contextmanager
def _server(folder: Path, module: str, *arguments: str, ready: str) -> Iterator[None]:
    log = folder.parent / f"{module}.log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JUPYTER_CONFIG_DIR": str(folder.parent / "config")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=folder, env=environment, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            _wait_for(ready, process, log)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)  # the kernels, too
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end:
        assert process.poll() is None, f"the server ended: {log.read_text()[-2000:]}"
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"the server does not answer: {log.read_text()[-2000:]}")
