"""Plans, reports and drills as text for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.shutdown.shapes import AnyDrill, AnyEntry, AnyPlan, AnyReport, AnyStep
from engine.shutdown.words import duration, gates_words, ladder_words, listed

__all__ = ["budget_words", "drill_text", "plan_text", "report_text", "step_how"]


def plan_text(plan: AnyPlan) -> str:
    """The plan: one line a domain, then the critical path."""
    if not plan.steps:
        return f"Plan for {plan.direction}: nothing to do."
    head = f"Plan for {plan.direction}: {_count(len(plan.steps), 'domain')} in {_count(len(plan.waves), 'wave')}, "
    head += f"at most {duration(plan.seconds)}; {budget_words(plan)}"
    if plan.parallel is not None:
        head += f" No more than {plan.parallel} at a time."
    rows: list[Sequence[str]] = [("", "wave", "domain", "begins", "at most", "after", "how")]
    names = _display_names(plan.steps)
    for step in plan.steps:
        rows.append(
            (
                "*" if step.critical else "",
                str(step.wave),
                names[step.key],
                f"+{duration(step.begin)}",
                duration(step.seconds),
                listed((wait.name for wait in step.waits_for), most=4) or "-",
                step_how(step, plan.direction),
            )
        )
    lines = [head, "", *_table(rows, right={1, 3, 4})]
    if plan.critical_path:
        lines += ["", f"* critical path: {' -> '.join(plan.critical_path)}"]
    if plan.unstoppable:
        lines += ["", f"Nothing can stop {listed(plan.unstoppable)}: see how."]
    return "\n".join(lines)


def budget_words(plan: AnyPlan) -> str:
    """Whether it fits, by how much, because of whom: one sentence."""
    if plan.budget is None or plan.spare is None:
        return "no budget is known."
    budget = f"budget {duration(plan.budget)}"
    if plan.fits:
        return f"{budget}: it fits, with {duration(plan.spare)} to spare."
    because = listed((f"{name} ({duration(seconds)})" for name, seconds in plan.because), most=4)
    return f"{budget}: too long by {duration(-plan.spare)}, because of {because}."


def step_how(step: AnyStep, direction: str) -> str:
    """What is done with the domain, in words."""
    parts = [step.note]
    if direction == "down":
        parts.append(ladder_words(step.possible))
        parts += [f"not {skipped.method}: {skipped.reason}" for skipped in step.skipped]
        parts.append("those that wait go on if it fails" if step.on_stop_failure == "go-on" else "")
    elif step.gates:
        parts.append(gates_words(step.gates))
    return "; ".join(filter(None, parts))


def report_text(report: AnyReport) -> str:
    """The report: one line a domain, and for each that failed why."""
    total = len(report.entries)
    head = f"{report.direction.capitalize()}: {len(report.done)} of {_count(total, 'domain')} done"
    head += f" in {duration(report.seconds)} (at most {duration(report.planned)} planned)."
    if report.interrupted:
        head += " It was interrupted."
    if report.late:
        head += " Its deadline passed."
    rows: list[Sequence[str]] = [("domain", "outcome", "by", "began", "took", "")]
    names = _display_names(report.entries)
    for entry in report.entries:
        began = "-" if entry.began is None else f"+{duration(entry.began)}"
        took = "-" if entry.began is None else duration(entry.seconds)
        rows.append((names[entry.key], entry.outcome, entry.method or "-", began, took, _entry_notes(entry)))
    lines = [head]
    if total:
        lines += ["", *_table(rows, right={3, 4})]
    if report.problems:
        lines += ["", *report.problems]
    return "\n".join(lines)


def _entry_notes(entry: AnyEntry) -> str:
    steps = [f"{attempt.method}: {attempt.result}" for attempt in entry.tries if attempt.result != "it stopped"]
    return "; ".join(filter(None, (entry.reason, *steps)))


def drill_text(drill: AnyDrill) -> str:
    """The plan, then what was checked against the live host."""
    lines = [str(drill.plan), "", f"Checked, and nothing changed: {'all well.' if drill.ok else 'not all is well.'}"]
    if drill.checks:
        rows: list[Sequence[str]] = [("", "domain", "what", "")]
        rows += [("ok" if check.ok else "--", check.name, check.what, check.detail) for check in drill.checks]
        lines += ["", *_table(rows, right=set())]
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _display_names(items: Iterable[AnyStep | AnyEntry]) -> dict[str, str]:
    """Names by key; with the connection where a name is there twice."""
    known = list(items)
    seen: dict[str, int] = {}
    for item in known:
        seen[item.name] = seen.get(item.name, 0) + 1
    return {item.key: item.name if seen[item.name] == 1 else f"{item.connection}#{item.name}" for item in known}


def _table(rows: Sequence[Sequence[str]], *, right: set[int]) -> list[str]:
    """Lines with aligned columns; the last column is as long as it is."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(widths[column]) if column in right else cell.ljust(widths[column])
            for column, cell in enumerate(row)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
