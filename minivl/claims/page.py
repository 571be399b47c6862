"""docs/claims.md, written from the measurements alone: no number on the page is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minivl import atomic
from minivl.claims import sight, sound, together, words
from minivl.claims.pictures import save_bars
from minivl.claims.table import check_table, claim_table, markdown, reference_table, with_range
from minivl.claims.verdicts import Checked, Claim, Measured, judge
from minivl.toyworld.scenes import REPORTING_SEED

CLAIMS: tuple[Claim, ...] = (
    sight.POSITIONS, sight.POOLING, sight.STAGES, sound.ZERO_SHOT, sound.NORMS, together.BOTH, sight.IMAGES,
    words.HALLUCINATION, words.NEW_WORDS, sight.MORE_FRAMES, sight.ORDER_OF_FRAMES, together.INGREDIENTS,
)  # fmt: skip

INTRODUCTION = """# The claims, measured

*Every number and verdict on this page was written by the command below; none by hand.*

What the paper says of Video-LLaMA, tested on the tiny model and its rendered world. Answers are generated greedily and
counted right if they equal the true answer as a string. Cells show the mean over the seeds, and the lowest and the
highest of them; *questions* is how many each seed was asked, *blind* what the most frequent answer to each type of
question in training reaches. A difference of a few hundredths between two cells of a hundred questions is chance.

**Verdicts** follow one rule. Each claim has checks with limits. A check passes if it is met in every seed. A claim
*holds* if all of its checks pass, it holds *in part* if some do, and it does *not hold here* if none does. "Here" is a
language model of two million parameters, clips of coloured shapes and icons, and trainings of a few minutes: what fails
here may hold for the large model, and the other way round.
"""


def write_page(results: Mapping[str, Any], out: Path) -> list[str]:
    """Write out/claims.md and out/claims/*.png; returns a line for each claim: its letter, title and verdict.

    results: see `run_claims`.
    """
    seeds: list[Measured] = list(results["seeds"].values())
    parts, lines = [INTRODUCTION, _header(results), "", "## Verdicts", ""], []
    judged = {claim.letter: judge(claim, seeds) for claim in CLAIMS}
    parts.append(markdown(["", "claim", "verdict", "checks passed"], [_summary(c, *judged[c.letter]) for c in CLAIMS]))
    parts += ["", "## The trainings of this page", "", _steps(results), "", reference_table(seeds, results["shipped"])]
    for claim in CLAIMS:
        verdict, checks = judged[claim.letter]
        parts += ["", *_section(claim, seeds, verdict, checks)]
        if claim.pictured:
            save_bars(claim, seeds, out / "claims" / f"{claim.letter}.png")
        lines.append(f"({claim.letter}) {claim.title}: {verdict}")
    atomic.write_text(out / "claims.md", "\n".join(parts) + "\n")
    return lines


def _summary(claim: Claim, verdict: str, checks: Sequence[Checked]) -> list[str]:
    passed = sum(check.passed for check in checks)
    return [f"({claim.letter})", f"[{claim.title}](#claim-{claim.letter})", verdict, f"{passed} of {len(checks)}"]


def _section(claim: Claim, seeds: Sequence[Measured], verdict: str, checks: Sequence[Checked]) -> list[str]:
    picture = [f"![{claim.title}](claims/{claim.letter}.png)", ""] if claim.pictured else []
    why = claim.why.get(verdict, "")
    return [
        f'<a id="claim-{claim.letter}"></a>', "", f"## ({claim.letter}) {claim.title}", "",
        f"**The paper.** {claim.paper}", "", f"**The test.** {claim.test}", "", claim_table(claim, seeds), "", *picture,
        f"**Verdict: {verdict}**, {_told(checks)}" + (f" {why}" if why else ""), "", check_table(checks),
    ]  # fmt: skip


def _told(checks: Sequence[Checked]) -> str:
    """ "2 of 3 checks pass. Not passed: shape, lower by at most 0.05 (.067)." """
    failed = [f"{c.text} ({with_range(c.mean, c.low, c.high)})" for c in checks if not c.passed]
    told = f"{len(checks) - len(failed)} of {len(checks)} checks pass."
    return told + (f" Not passed: {'; '.join(failed)}." if failed else "")


def _header(results: Mapping[str, Any]) -> str:
    made, seconds = results["made"], results["seconds"]
    unused = " (no training and no choice has used them)" if made["first_clip"] >= REPORTING_SEED else ""
    clips = f"{made['clips']}, seeds from {made['first_clip']:,} on{unused}"
    hardware = f"{made['cores']} cores, {made['cpu']}; {made['jobs']} processes of one thread; torch {made['torch']}"
    lines = [
        ["command", f"`{made['command']}`"],
        ["seeds", ", ".join(results["seeds"])],
        ["clips asked about", clips],
        ["hardware", hardware],
        [
            "time",
            f"{seconds['all'] / 60:.0f} minutes; {seconds['training'] / 60:.0f} of process time were training, "
            f"{made['read']} of {made['runs']} trainings were read from the cache",
        ],
    ]  # fmt: skip
    warning = (
        "\n\n**This was a quick run, with a tenth of the steps and one seed: it shows that everything runs. Its "
        "verdicts say nothing.**"
        if made["quick"]
        else ""
    )
    return markdown(["", ""], lines) + warning


def _steps(results: Mapping[str, Any]) -> str:
    made = results["made"]
    steps = made["steps"]
    return (
        f"All branches of this page were trained with fewer steps than the shipped one: vision {steps['vision 1']} + "
        f"{steps['vision 2']} (stage 1 + stage 2), audio {steps['audio 1']} + {steps['audio 2']}, batches of "
        f"{made['batch']} chats, on {made['training_clips']:,} clips. The shipped model had the full recipe; of "
        "it [three_seeds.json](../benchmarks/results/three_seeds.json) has the numbers for three seeds, on other "
        "clips. Below, the shipped model was asked about the clips of this page."
    )
