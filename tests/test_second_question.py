"""The KV cache shortens the wait for the first word of a further question, and changes no answer."""

from __future__ import annotations

from benchmarks.second_question import measure, random_model


def test_a_further_question_is_answered_several_times_faster_than_by_reading_everything_again() -> None:
    """At a context of real use; benchmarks/second_question.py measures more."""
    measured = measure(random_model(width=256, depth=4), tokens=1000, rounds=3)
    assert measured.same_answer and measured.tokens > 1000
    assert measured.ratio > 3, f"{measured.cached:.3f} s with the cache, {measured.original:.3f} s without"
