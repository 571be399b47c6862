"""What all notebooks share: the checker's three verdicts, figures with words, the picture of the whole."""

from __future__ import annotations

import pytest

from minivl import course
from minivl.plots import Picture


def twice(answer) -> str:
    if answer(2) == 3:
        raise course.Wrong("is one added?")
    return f"{answer(2)} is twice two"


def test_a_checker_says_right_not_solved_or_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    def empty(x):
        raise NotImplementedError("your code")

    for answer in (lambda x: 2 * x, lambda x: x + 1, lambda x: x / 0, empty, None):
        course.check(twice, answer)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "✓ right: 4 is twice two"
    assert lines[1] == "✗ not yet: is one added?"
    assert lines[2].startswith("✗ your code raises ZeroDivisionError: division")
    assert lines[3] == lines[4] == "○ not solved yet"


def test_a_figure_is_shown_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr("minivl.course.figures.display", lambda data, **more: shown.append((data, more)))
    course.show(Picture(figsize=(2, 1)), alt="a blank square of paper")
    data, more = shown[0]
    assert data["text/plain"] == "a blank square of paper" and data["image/png"].startswith(b"\x89PNG")
    assert more["metadata"]["image/png"] == {"alt": "a blank square of paper", "width": 160, "height": 80}
    with pytest.raises(ValueError, match="does not say"):
        course.show(Picture(), alt="figure")


def test_the_overview_lights_up_what_is_named() -> None:
    def thick(*names: str) -> int:
        return sum(patch.get_linewidth() == 3 for patch in course.overview(*names).axes[0].patches)

    assert thick() == 0 and thick("ViT") == 1 and thick("frame positions", "Video Q-Former") == 2
    with pytest.raises(ValueError, match="no box is called Vit"):
        course.overview("Vit")


def test_the_smoke_profile_takes_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minivl.course.profile.SMOKE", False)
    assert course.steps(600) == 600
    monkeypatch.setattr("minivl.course.profile.SMOKE", True)
    assert course.steps(600) == 4 and course.steps(2) == 2 and course.steps(600, smoke=20) == 20
