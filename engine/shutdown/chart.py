"""A plan as a picture: a Gantt chart in one self-contained SVG document. Pure, and the same for the same plan.

A row is a line of text with a bar beneath, not a column of names beside the bars: so long names cost no room, and the
picture stays readable on a narrow page. Colours follow the reader's light or dark preference; the critical path is
marked by colour, by weight and by a sign, since not everyone sees the colour. Plain classes instead of CSS variables,
because librsvg and older viewers know no variables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from engine.shutdown.render import step_how
from engine.shutdown.shapes import AnyPlan, AnyStep
from engine.shutdown.words import duration, gate_name, listed

__all__ = ["plan_svg"]

_WIDTH = 640
_MARGIN = 24
_INNER = _WIDTH - 2 * _MARGIN
_TOP = 104
_ROW = 50
_BAR = 16
_BAR_DOWN = 22  # from the top of a row to the top of its bar
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_MOST_TICKS = 6
_LONGEST_NAME = 44
# with more, the lines of those that only wait along make a web nobody can read
_MOST_LINES = 150
_LETTER = 5.9  # width of a letter in a bar, on average

# what XML 1.0 can't hold, not even escaped
_NO_XML = re.compile("[^\\t\\n\\r -\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")

_STYLE = """
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2933}
.back{fill:#ffffff}.title{font-size:20px;font-weight:650}.soft{fill:#616e7c}.small{font-size:11px}
.name{font-weight:550}.halo{paint-order:stroke;stroke:#ffffff;stroke-width:4px;stroke-linejoin:round}
.grid{stroke:#e4e7eb;stroke-width:1}.track{fill:#f1f4f8}
.s1{fill:#c3cddb}.s2{fill:#9fb1ca}.s3{fill:#7189ab}.critical .s1{fill:#f2b49b}.critical .s2{fill:#e57f55}
.critical .s3{fill:#d9480f}.destroy,.critical .destroy{fill:#7a0c2e}.critical .name,.crit{fill:#c2410c;font-weight:700}
.on{fill:#ffffff;font-size:11px;font-weight:600}.dark{fill:#323f4b}
.line{fill:none;stroke:#9aa5b1;stroke-width:1.25}.line.critical{stroke:#d9480f;stroke-width:2}
.tip{fill:#9aa5b1}.tip.critical{fill:#d9480f}
.budget{stroke:#2f8132;stroke-width:1.5;stroke-dasharray:5 4}.fits{fill:#2f8132;font-weight:600}
.late{fill:#c81e1e;font-weight:600}.budget.over{stroke:#c81e1e}.beyond{fill:#c81e1e;opacity:.07}
@media (prefers-color-scheme:dark){
text{fill:#e6eaf0}.back{fill:#14181f}.soft{fill:#9aa7b8}.halo{stroke:#14181f}
.grid{stroke:#2a313c}.track{fill:#1d232d}.s1{fill:#394b66}.s2{fill:#4d668d}.s3{fill:#6485b8}.critical .s1{fill:#7d3610}
.critical .s2{fill:#b4480d}.critical .s3{fill:#e8590c}.destroy,.critical .destroy{fill:#c2255c}
.dark{fill:#ffffff}.critical .name,.crit{fill:#ff922b}
.line{stroke:#5c6b7f}.line.critical{stroke:#ff922b}.tip{fill:#5c6b7f}.tip.critical{fill:#ff922b}
.budget{stroke:#69db7c}.fits{fill:#69db7c}.late{fill:#ff8787}.budget.over{stroke:#ff8787}.beyond{fill:#ff8787}
}
"""


def plan_svg(plan: AnyPlan) -> str:
    """The whole document."""
    return _Chart(plan).document()


class _Chart:
    def __init__(self, plan: AnyPlan) -> None:
        self.plan = plan
        self.length = max([step.end for step in plan.steps] + [0.0])
        # a budget far away would squeeze the bars: then only the text tells it
        self.shows_budget = plan.budget is not None and 0 < plan.budget <= 1.6 * self.length
        span = max(self.length, (plan.budget or 0.0) * 1.02 if self.shows_budget else 0.0)
        self.scale = _INNER / span if span else 0.0
        # times stand at the right, unless the budget's line runs there
        line = self.x(plan.budget) if plan.budget is not None and self.shows_budget else 0.0
        self.times_end = _number(line - 8 if line > _WIDTH - _MARGIN - 90 else _WIDTH - _MARGIN)
        self.rows = {step.key: _TOP + index * _ROW for index, step in enumerate(plan.steps)}
        self.bottom = _TOP + len(plan.steps) * _ROW
        self.several = len({step.connection for step in plan.steps}) > 1

    def x(self, seconds: float) -> float:
        return _MARGIN + seconds * self.scale

    def document(self) -> str:
        height = self.bottom + 56
        title = f"Plan for {self.plan.direction}"
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}"'
            f' style="max-width:100%;height:auto" role="img" aria-labelledby="plan-title plan-words">',
            f'<title id="plan-title">{escape(title)}</title>',
            f'<desc id="plan-words">{escape(self._words())}</desc>',
            f"<style>{_STYLE}</style>",
            f'<rect class="back" width="{_WIDTH}" height="{height}" rx="10"/>',
            *self._head(title),
            *self._axis(),
            *(self._track(step) for step in self.plan.steps),
            *self._budget(),
            *self._lines(),
            *(self._row(step) for step in self.plan.steps),
            *self._legend(),
            "</svg>",
        ]
        return _NO_XML.sub("\ufffd", "\n".join(parts) + "\n")

    def _words(self) -> str:
        """What the picture shows, for those who can't see it."""
        if not self.plan.steps:
            return "There is nothing to do."
        path = " then ".join(self.plan.critical_path) or "nobody"
        number = "1 domain" if len(self.plan.steps) == 1 else f"{len(self.plan.steps)} domains"
        return f"{number}, at most {duration(self.plan.seconds)}. Critical path: {path}."

    def _head(self, title: str) -> Iterable[str]:
        plan = self.plan
        yield f'<text class="title" x="{_MARGIN}" y="38">{escape(title)}</text>'
        if not plan.steps:
            yield f'<text class="soft" x="{_MARGIN}" y="60">nothing to do</text>'
            return
        facts = f"{len(plan.steps)} domain{'s' * (len(plan.steps) != 1)} · at most {duration(plan.seconds)}"
        if plan.parallel is not None:
            facts += f" · {plan.parallel} at a time"
        yield f'<text class="soft" x="{_MARGIN}" y="60">{escape(facts)}</text>'
        if plan.budget is not None and plan.spare is not None:
            told = (
                f"fits its budget of {duration(plan.budget)}"
                if plan.fits
                else f"{duration(-plan.spare)} over its budget of {duration(plan.budget)}"
            )
            kind = "fits" if plan.fits else "late"
            yield f'<text class="{kind}" x="{_WIDTH - _MARGIN}" y="60" text-anchor="end">{escape(told)}</text>'

    def _axis(self) -> Iterable[str]:
        if not self.scale:
            return
        span = _INNER / self.scale
        tick = next((tick for tick in _TICKS if span / tick <= _MOST_TICKS), span / _MOST_TICKS)
        for index in range(int(span / tick + 1e-9) + 1):
            x = _number(self.x(index * tick))
            yield f'<line class="grid" x1="{x}" y1="{_TOP - 10}" x2="{x}" y2="{self.bottom}"/>'
            anchor = "start" if index == 0 else "end" if self.x(index * tick) > _WIDTH - _MARGIN - 14 else "middle"
            label = duration(index * tick) if index else "0"
            yield f'<text class="soft small" x="{x}" y="{_TOP - 16}" text-anchor="{anchor}">{label}</text>'

    def _track(self, step: AnyStep) -> str:
        y = self.rows[step.key] + _BAR_DOWN
        return f'<rect class="track" x="{_MARGIN}" y="{y}" width="{_INNER}" height="{_BAR}" rx="4"/>'

    def _row(self, step: AnyStep) -> str:
        top = self.rows[step.key]
        bar = top + _BAR_DOWN
        name = step.name if len(step.name) <= _LONGEST_NAME else step.name[: _LONGEST_NAME - 1] + "…"
        place = f'<tspan class="soft small" dx="8">{escape(step.connection)}</tspan>' if self.several else ""
        mark = "◆ " if step.critical else ""
        time = step.note or (duration(step.seconds) if step.seconds else "at once")
        details = f"{step.name}: begins after {duration(step.begin)}, at most {duration(step.seconds)}; "
        details += step_how(step, self.plan.direction)
        if step.waits_for:
            details += f"; after {listed(wait.name for wait in step.waits_for)}"
        return "\n".join(
            [
                f'<g class="{"critical" if step.critical else "row"}"><title>{escape(details)}</title>',
                f'<text class="halo" x="{_MARGIN}" y="{top + 15}"><tspan class="name">{mark}{escape(name)}</tspan>'
                f"{place}</text>",
                f'<text class="soft halo" x="{self.times_end}" y="{top + 15}" text-anchor="end">{escape(time)}</text>',
                *self._bar(step, bar),
                "</g>",
            ]
        )

    def _bar(self, step: AnyStep, top: int) -> Iterable[str]:
        pieces = self._pieces(step)
        if not pieces:
            x, y = self.x(step.begin), top + _BAR / 2
            yield f'<circle class="s3" cx="{_number(x)}" cy="{_number(y)}" r="4"/>'
            return
        at = step.begin
        for seconds, label, kind in pieces:
            # a hair of space between the pieces; never thinner than can be seen
            x, width = self.x(at), max(2.0, seconds * self.scale - 1)
            yield (f'<rect class="{kind}" x="{_number(x)}" y="{top}" width="{_number(width)}" height="{_BAR}" rx="4"/>')
            if len(label) * _LETTER + 10 <= width:
                ink = "on dark" if kind in ("s1", "s2") else "on"
                yield f'<text class="{ink}" x="{_number(x + 6)}" y="{top + 12}">{escape(label)}</text>'
            at += seconds

    def _pieces(self, step: AnyStep) -> list[tuple[float, str, str]]:
        """Seconds, label and class of each piece of the bar."""
        if self.plan.direction == "up":
            label = " · ".join(map(gate_name, step.gates))
            return [(step.seconds, label, "s3")] if step.seconds else []
        ladder = [rung for rung in step.possible if rung.timeout]
        shades = [max(1, 3 - back) for back in range(len(ladder))][::-1]
        return [
            (rung.timeout, rung.method, "destroy" if rung.method == "destroy" else f"s{shade}")
            for rung, shade in zip(ladder, shades, strict=True)
        ]

    def _lines(self) -> Iterable[str]:
        """From the end of each bar that is waited for to the beginning of the one that waits."""
        by_key = self.plan.by_key
        total = sum(len(step.waits_for) for step in self.plan.steps)
        for pass_critical in (False, True):  # what matters is drawn on top
            for step in self.plan.steps:
                for wait in step.waits_for:
                    other = by_key[wait.key]
                    critical = step.critical and other.critical and other.end == step.begin
                    if critical is pass_critical and (critical or total <= _MOST_LINES):
                        yield self._line(other, step, critical)

    def _line(self, first: AnyStep, then: AnyStep, critical: bool) -> str:
        kind = " critical" if critical else ""
        x1, x2 = self.x(first.end), self.x(then.begin)
        y1, y2 = self.rows[first.key] + _BAR_DOWN + _BAR / 2, self.rows[then.key] + _BAR_DOWN
        # inside the bar's end, so that the line is seen to come out of it and the tip to go into the next
        x1, x2 = max(x1 - 2, _MARGIN), min(x2 + 3, _WIDTH - _MARGIN)
        x, y = _number(x2), _number(y2)
        return (
            f'<path class="line{kind}" d="M{_number(x1)} {_number(y1)}H{x}V{_number(y2 - 4)}"/>'
            f'<path class="tip{kind}" d="M{x} {y}l-3.5 -6h7z"/>'
        )

    def _budget(self) -> Iterable[str]:
        plan = self.plan
        if not self.shows_budget or plan.budget is None:
            return
        x = self.x(plan.budget)
        over = "" if plan.fits else " over"
        if over:
            width, height = _number(_WIDTH - _MARGIN - x), self.bottom - _TOP + 10
            yield f'<rect class="beyond" x="{_number(x)}" y="{_TOP - 10}" width="{width}" height="{height}"/>'
        yield (
            f'<line class="budget{over}" x1="{_number(x)}" y1="{_TOP - 10}" x2="{_number(x)}" y2="{self.bottom + 6}"/>'
        )
        anchor = "end" if x > _WIDTH / 2 else "start"
        kind = "fits" if plan.fits else "late"
        yield (
            f'<text class="{kind} small" x="{_number(x)}" y="{self.bottom + 20}" text-anchor="{anchor}">'
            f"budget {duration(plan.budget)}</text>"
        )

    def _legend(self) -> Iterable[str]:
        if not self.plan.critical_path:
            return
        path = " → ".join(self.plan.critical_path)
        room = 66
        path = path if len(path) <= room else path[: room - 1] + "…"
        yield (
            f'<text x="{_MARGIN}" y="{self.bottom + 38}"><tspan class="crit">◆ critical path</tspan>'
            f'<tspan class="soft" dx="8">{escape(path)}</tspan></text>'
        )


def _number(value: float) -> str:
    """Two digits are finer than a pixel, and the same everywhere."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
