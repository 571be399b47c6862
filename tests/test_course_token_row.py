"""The picture of a row of tokens: what is learned is filled and bold, and long rows go on in the next line."""

from __future__ import annotations

from typing import Any

from matplotlib.patches import Rectangle

from minivl.course.figures import BLUE
from minivl.course.token_row import show_tokens
from minivl.soft_prompt import IGNORE, VIDEO_SLOT


class Letters:
    """A tokenizer whose token 0 is "a", 1 is "b" ..."""

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(97 + i) for i in ids)


def boxes(ids: list[int], labels: list[int]) -> list[tuple[Rectangle, Any]]:
    """Each token's box with its text, in order."""
    axes = show_tokens(Letters(), [("a row", ids, labels)]).axes[0]
    assert axes.texts[0].get_text() == "a row"
    return list(zip([p for p in axes.patches if isinstance(p, Rectangle)], axes.texts[1:], strict=True))


def test_learned_tokens_differ_by_more_than_colour() -> None:
    (slot, v), (read, a), (learned, b) = boxes([VIDEO_SLOT, 0, 1], [IGNORE, IGNORE, 1])
    assert [text.get_text() for text in (v, a, b)] == ["v", "a", "b"]
    assert (a.get_weight(), b.get_weight()) == ("normal", "bold")
    assert slot.get_hatch() and not read.get_hatch() and not learned.get_hatch()
    assert learned.get_facecolor() == Rectangle((0, 0), 1, 1, facecolor=BLUE).get_facecolor() != read.get_facecolor()


def test_a_long_row_is_broken_into_lines_and_stays_in_the_picture() -> None:
    found = [box for box, _ in boxes([0] * 80, [IGNORE] * 80)]
    assert len(found) == 80 and len({box.get_y() for box in found}) > 1
    right = found[0].axes.get_xlim()[1]
    assert all(box.get_x() + box.get_width() <= right for box in found)
    low = found[0].axes.get_ylim()[0]
    assert all(box.get_y() >= low for box in found)


def test_several_rows_do_not_overlap() -> None:
    axes = show_tokens(Letters(), [("one", [0, 1], [0, 1]), ("two", [0, 1], [IGNORE, IGNORE])]).axes[0]
    heights = [p.get_y() for p in axes.patches if isinstance(p, Rectangle)]
    assert heights[0] == heights[1] and heights[2] == heights[3] < heights[0] - 1
