"""How an import went, as its user reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .screen import Column, fields, say, table, write
from .words import clean, count, duration, jobs, rate

if TYPE_CHECKING:
    from ...importing import Imported, Skipped


def show(report: Imported) -> None:
    """Write the sums of both sides to stdout."""
    would = "would be imported" if report.dry_run else "imported"
    fields(
        (
            ("from", report.source),
            ("into", report.target),
            ("read", count(report.read)),
            (would, count(report.inserted)),
            ("imported before", count(report.already) if report.already else None),
            ("same work here", count(report.existing) if report.existing else None),
            ("left out", count(report.left_out) if report.left_out else None),
            ("skipped", count(report.skipped) if report.skipped else None),
            ("without result", count(report.results_left) if report.results_left else None),
            ("missing", count(report.missing) if report.missing else None),
            ("took", f"{duration(report.seconds)}, {rate(report.read / max(report.seconds, 1e-3))}"),
        )
    )
    write()
    rows = [("there", state, count(number)) for state, number in report.source_states.items()]
    rows += [("here", state, count(number)) for state, number in report.target_states.items()]
    table(["side", "state", Column("jobs", right=True)], rows)


#: What notes mean; of those that are not here nothing has to be said.
_NOTES = {
    "id_recomputed": "have the id that `create` computes of their type and data",
    "id_kept": "keep their ids",
    "priority_changed": "had a priority that is no int within our bounds: the next lower one, or 0",
    "numbers_whole": "had whole numbers stored as doubles, which are ints now",
    "created_guessed": "did not say when they were created: the earliest instant that they have, else now",
}


def hint(report: Imported, first: list[Skipped], file: str | None, *, undecided: bool) -> None:
    """Say what deserves a thought, on stderr.

    Args:
        first: The first of those left out.
        file: Where all of them are.
        undecided: Whether nobody said what becomes of those that are active there.
    """
    for note, meaning in _NOTES.items():
        if report.notes.get(note):
            say(f"{jobs(report.notes[note])} {meaning}")
    if report.left_out and undecided:
        say(
            f"{jobs(report.left_out)} active there and left out: stop the workers there and repeat it, or decide "
            "with --active pending (they may be running there now), failed or skip"
        )
    for one in first:
        what = "came without its result" if one.carried else "skipped"
        say(f"{what}: {clean(one.id, 80)} ({clean(one.status, 40)}): {clean(one.why, 200)}")
    more = report.skipped + report.results_left - len(first)
    if more > 0:
        where = f"all are in {clean(file)}" if file else "--skipped FILE keeps all"
        say(f"... and {count(more)} more; {where}")
    carried = report.carried + report.missing
    if not report.dry_run:
        ok = "all are there" if not report.missing else f"{count(report.missing)} are NOT there"
        say(f"check: {count(carried)} of {count(report.read)} documents have their jobs here, {ok}")
    if report.source_jobs > report.read:
        say(
            f"there are {count(report.source_jobs)} documents now: some were written meanwhile, repeat it for them"
        )
