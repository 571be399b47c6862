"""Exercises check themselves: a checker gets the answer and says what is right, or which mistake it sees.

def double(answer):                       # in nNN.py
    if answer(2) == 4.5:
        raise Wrong("is one half added too much?")
    ...
    return "twice as much"

course.check(n01.double, double)          # in the notebook: one line, never an exception
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Wrong(Exception):  # noqa: N818  (it is read by students: raise Wrong("..."))
    """An answer is not right; the text is one hint that names the likely mistake."""


def check(checker: Callable[..., str], *answers: Any) -> None:
    """Print one line: ✓ what is right, ○ not solved yet, or ✗ a hint. Never raises for what a student wrote.

    checker: gets `answers`, returns a short sentence or raises Wrong. An answer that is None, or that raises
    NotImplementedError (as every exercise does before it is solved), is not solved yet.
    """
    print(_verdict(checker, answers))


def _verdict(checker: Callable[..., str], answers: tuple[Any, ...]) -> str:
    if any(answer is None for answer in answers):
        return "○ not solved yet"
    try:
        return f"✓ right: {checker(*answers)}"
    except Wrong as hint:
        return f"✗ not yet: {hint}"
    except NotImplementedError:
        return "○ not solved yet"
    except Exception as error:  # whatever a student's code may raise is an answer too
        return f"✗ your code raises {type(error).__name__}: {error}"
