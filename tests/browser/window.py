"""The chat window as a person uses it: by what is written on its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

PATIENCE = 90_000  # milliseconds; other work may go on beside the test
NOTE_GROWTH = """() => {
    window.grown = [];
    new MutationObserver(() => {
        const all = document.querySelectorAll('.minivl-answer');
        const text = all.length ? all[all.length - 1].innerText.trim() : '';
        if (text && text !== window.grown[window.grown.length - 1]) window.grown.push(text);
    }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


class Window:
    """Drives the first chat window of a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.app = page.locator(".minivl-app").first
        expect(self.app).to_be_visible(timeout=PATIENCE)
        page.evaluate(NOTE_GROWTH)

    def ask(self, question: str) -> str:
        """Type a question, press Enter, and read the complete answer."""
        answers = self.app.locator(".minivl-trace-button")
        before = answers.count()
        line = self.app.locator(".minivl-ask input")
        line.fill(question)
        line.press("Enter")
        expect(answers).to_have_count(before + 1, timeout=PATIENCE)
        return self.answers()[-1]

    def answers(self) -> list[str]:
        """All answers in view."""
        return [text.strip() for text in self.app.locator(".minivl-answer").all_inner_texts()]

    def grown(self) -> list[str]:
        """The texts that the newest answer has had, one after the other, since the window was opened."""
        texts: list[str] = self.page.evaluate("() => window.grown")
        return texts

    def upload(self, file: Path) -> None:
        """Choose a file in the dialogue of the upload button."""
        with self.page.expect_file_chooser() as dialogue:
            self.app.get_by_role("button", name="Upload a file").click()
        dialogue.value.set_files(file)

    def expect_clip(self, name: str) -> None:
        """Wait until this file is in the player."""
        expect(self.app.locator(".minivl-player")).to_contain_text(name, timeout=PATIENCE)

    def problem(self) -> Any:
        """The sentence about a mistake."""
        return self.app.get_by_role("alert")

    def switch(self, sense: str) -> None:
        """Press the check box of "sight" or "hearing"."""
        self.app.locator(f"label:has-text('{sense}') input[type=checkbox]").click()

    def plays(self) -> bool:
        """Whether the browser can play the video that is in the window."""
        seconds = (
            "video => new Promise(done => { if (video.readyState) done(video.duration); "
            "video.onloadedmetadata = () => done(video.duration); video.onerror = () => done(0); })"
        )
        return bool(self.app.locator(".minivl-player video").evaluate(seconds) > 0)
