"""The chat window in a real browser, in JupyterLab and as a web page of its own."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect
from servers import ROOT, jupyter_lab, voila
from window import PATIENCE, Window

NOTEBOOK = ROOT / "notebooks" / "09_chat.ipynb"  # has the window in a cell with the tag "app"
WEB_PAGE = ROOT / "notebooks" / "app"
CAT = ROOT / "data_samples" / "cat_but_drum.mp4"
SLOW = "import time\n_ = app.chat.model.llm.register_forward_hook(lambda *_: time.sleep(0.2))"
SIZE = {"width": 1300, "height": 1400}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=SIZE, accept_downloads=True)
    yield context.new_page()
    context.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for a server to work in."""
    made = tmp_path / "notebooks"
    made.mkdir()
    return made


def test_a_conversation_in_jupyterlab(page: Page, folder: Path, tmp_path: Path, screenshots: Path) -> None:
    copy_up_to_the_app(NOTEBOOK, folder / "chat.ipynb")
    settings = quiet_settings(tmp_path / "settings")
    with jupyter_lab(folder, f"--LabApp.user_settings_dir={settings}") as address:
        page.goto(f"{address}/lab/tree/chat.ipynb", wait_until="commit")
        kernel = page.locator(".jp-StatusBar-Widget", has_text="| Idle")
        expect(kernel).to_be_visible(timeout=PATIENCE)  # run before it is there, cells wait for a dialogue
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        talk(page, tmp_path, screenshots, "jupyterlab")
        stop_an_answer(page)


def test_a_conversation_on_a_web_page(page: Page, folder: Path, tmp_path: Path, screenshots: Path) -> None:
    for name in ("chat.ipynb", "voila.json"):
        shutil.copy(WEB_PAGE / name, folder)
    with voila(folder / "chat.ipynb") as address:
        page.goto(address, wait_until="commit")
        talk(page, tmp_path, screenshots, "web_page")
        assert "from_pretrained" not in page.content(), "the page shows code"
        upload_more_than_servers_let_through(page, tmp_path)


def talk(page: Page, tmp_path: Path, screenshots: Path, name: str) -> None:
    """What a person does who sees the window for the first time."""
    window = Window(page)
    page.screenshot(path=screenshots / f"{name}_1_opened.png")

    mine = tmp_path / "my_cat.mp4"
    shutil.copy(CAT, mine)
    window.upload(mine)
    window.expect_clip("my_cat.mp4")
    assert window.plays()
    assert window.ask("what do you hear?") == "a drum"
    long = window.ask("describe the sound")
    assert long == "the sound of a large drum"
    growing = [text for text in window.grown() if long.startswith(text)]
    assert len(growing) > 3 and growing == sorted(growing, key=len), "the answer did not come piece by piece"
    page.screenshot(path=screenshots / f"{name}_2_answers.png")

    window.app.locator(".minivl-trace-button").first.click()
    trace = window.app.locator(".minivl-trace")
    expect(trace).to_contain_text("audio soft prompt, 8 vectors", timeout=PATIENCE)
    expect(trace).to_contain_text("i can not hear")  # its answer when muted
    assert "Attention on each frame" in (trace.locator("img").get_attribute("alt") or "")
    trace.screenshot(path=screenshots / f"{name}_3_trace.png")
    page.screenshot(path=screenshots / f"{name}_3_window.png")
    window.app.locator(".minivl-trace-button").first.click()
    expect(trace).to_have_count(0)

    window.switch("hearing")
    expect(window.app.locator(".minivl-note")).to_contain_text("hearing is switched off", timeout=PATIENCE)
    assert window.ask("what do you hear?") == "i can not hear"
    page.screenshot(path=screenshots / f"{name}_4_muted.png")

    letter = tmp_path / "letter.mp4"
    letter.write_text("Dear reader, this is no video. " * 20)
    window.upload(letter)
    expect(window.problem()).to_contain_text("letter.mp4 is not a video, image or sound file", timeout=PATIENCE)
    assert window.answers()[-1] == "i can not hear", "the mistake lost the conversation"
    page.screenshot(path=screenshots / f"{name}_5_mistake.png")
    assert "Traceback" not in page.content()

    with page.expect_download() as download:
        window.app.get_by_role("link", name="JSON").click()
    saved = json.loads(Path(download.value.path()).read_text())
    assert saved["turns"][0]["answer"] == "i can not hear" and not saved["hearing"]


def stop_an_answer(page: Page) -> None:
    """The kernel hears the click while it writes."""
    window = Window(page)
    line = window.app.locator(".minivl-ask input")
    line.fill("describe the video")
    line.press("Enter")
    expect(window.app.locator(".minivl-answer").last).to_contain_text("a", timeout=PATIENCE)
    window.app.get_by_role("button", name="Stop").click()
    expect(window.app.locator(".minivl-answer").last).to_contain_text("does not remember", timeout=PATIENCE)
    expect(line).to_have_value("describe the video")
    assert window.ask("what do you see?") == "a cat"


def upload_more_than_servers_let_through(page: Page, tmp_path: Path) -> None:
    """A video of 20 MB: an mp4 may hold empty space, in a box that is called "free"."""
    large, empty = tmp_path / "large.mp4", 20 * 10**6
    large.write_bytes(CAT.read_bytes() + struct.pack(">I4s", empty, b"free") + bytes(empty - 8))
    window = Window(page)
    window.upload(large)
    window.expect_clip("large.mp4")


def copy_up_to_the_app(notebook: Path, copy: Path) -> None:
    """The notebook without outputs, up to the cell with the window: the repository's own file is never opened.

    The last cell makes the model as slow as a large one.
    """
    content = nbformat.read(notebook, as_version=4)
    last = next(n for n, cell in enumerate(content.cells) if "app" in cell.metadata.get("tags", []))
    slow = nbformat.v4.new_code_cell(SLOW)
    content.cells = [*content.cells[: last + 1], slow]
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(content, copy)


def quiet_settings(settings: Path) -> Path:
    """All cells on the page, where JupyterLab puts only those in view, and no question about news."""
    for name, values in (
        ("notebook-extension/tracker", {"windowingMode": "none"}),
        ("apputils-extension/notification", {"fetchNews": "false", "checkForUpdates": False}),
    ):
        file = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values))
    return settings
