"""A journey as a picture: SVG by a short recursion, for blocks nest and rejoin."""

import textwrap
from collections.abc import Sequence
from html import escape

from campaigns.models.channels import PERSONAL
from campaigns.starter.authoring.storyboard import Box

WIDTH, LINE, PAD, GAP, ASIDE, LABEL, MARGIN = 216, 16, 10, 22, 20, 22, 16
CHARACTERS = 32
COLOURS = {
    "trigger": ("#0f172a", "#0f172a"),
    **dict.fromkeys(PERSONAL, ("#dbeafe", "#1d4ed8")), "webhook": ("#e0e7ff", "#4338ca"),
    "delay": ("#fef3c7", "#b45309"), "wait": ("#fde68a", "#92400e"), "branch": ("#ccfbf1", "#0f766e"),
    "split": ("#d9f99d", "#4d7c0f"), "choice": ("#ccfbf1", "#0f766e"), "loop": ("#f3e8ff", "#7e22ce"),
    "update": ("#e2e8f0", "#475569"), "exit": ("#fee2e2", "#b91c1c"),
}  # fmt: skip


def draw(boxes: Sequence[Box], title: str) -> str:
    """The SVG of the journey."""
    width = _block_width(boxes) + 2 * MARGIN
    parts: list[str] = []
    bottom, open_end = _draw_block(boxes, width / 2, MARGIN, parts)
    if open_end:
        _line(parts, width / 2, bottom, width / 2, bottom + GAP)
        bottom += GAP
        parts.append(f'<circle cx="{width / 2:g}" cy="{bottom + 6:g}" r="6" fill="#0f172a"/>')
        bottom += 12
    height = bottom + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" font-family="system-ui, sans-serif" font-size="12">'
        f"<title>{escape(title)}</title>"
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _texts(box: Box) -> list[str]:
    shown = [line for text in map(_printable, box.lines) for line in textwrap.wrap(text, CHARACTERS)[:2]]
    return [textwrap.shorten(line, CHARACTERS, placeholder="…") for line in shown[:4]]


def _printable(text: str) -> str:
    """XML knows no control characters."""
    return "".join(character if character.isprintable() else " " for character in text)


def _box_height(box: Box) -> float:
    return 0 if box.kind == "choice" else PAD * 2 + LINE * (1 + len(_texts(box)))


def _block_width(boxes: Sequence[Box]) -> float:
    return max([WIDTH, *(_ways_width(box) for box in boxes if box.ways)])


def _ways_width(box: Box) -> float:
    return sum(_block_width(block) for _, block in box.ways) + ASIDE * (len(box.ways) - 1)


def _draw_block(boxes: Sequence[Box], x: float, y: float, parts: list[str]) -> tuple[float, bool]:
    """Draws below y around x; where it ends, and whether something may follow."""
    open_end = True
    for index, box in enumerate(boxes):
        if index:
            _line(parts, x, y, x, y + GAP, arrow=box.kind != "choice")
            y += GAP
        if box.kind != "choice":
            _draw_box(box, x, y, parts)
            y += _box_height(box)
        if box.ways:
            y = _draw_ways(box, x, y, parts)
        open_end = not box.ends
    return y, open_end


def _draw_ways(box: Box, x: float, y: float, parts: list[str]) -> float:
    """The ways side by side, and the line on which they come together again."""
    left = x - _ways_width(box) / 2
    fork = y + GAP / 2
    _line(parts, x, y, x, fork)
    ends: list[tuple[float, float]] = []
    for label, block in box.ways:
        width = _block_width(block)
        middle = left + width / 2
        left += width + ASIDE
        top = fork + GAP / 2
        _line(parts, x, fork, middle, fork)
        _line(parts, middle, fork, middle, top)
        _label(label, middle, top, parts)
        top += LABEL
        if block:
            _line(parts, middle, top, middle, top + GAP / 2, arrow=block[0].kind != "choice")
            bottom, open_end = _draw_block(block, middle, top + GAP / 2, parts)
        else:
            bottom, open_end = top, True
        ends.append((middle, bottom if open_end else -bottom))
    bottom = max(abs(end) for _, end in ends) + GAP / 2
    for middle, end in ends:
        if end > 0:
            _line(parts, middle, end, middle, bottom)
            if box.kind != "loop":
                _line(parts, middle, bottom, x, bottom)
    return bottom


def _draw_box(box: Box, x: float, y: float, parts: list[str]) -> None:
    fill, stroke = COLOURS.get(box.kind, COLOURS["update"])
    ink = "#ffffff" if box.kind == "trigger" else "#0f172a"
    left, height = x - WIDTH / 2, _box_height(box)
    radius = height / 2 if box.kind in ("trigger", "exit") else 6
    parts.append(
        f'<rect x="{left:g}" y="{y:g}" width="{WIDTH}" height="{height:g}" rx="{min(radius, 18):g}" '
        f'fill="{fill}" stroke="{stroke}"/>'
    )
    named = _printable(box.title)
    title = textwrap.shorten(named, CHARACTERS, placeholder="…") if " " in named else named[:CHARACTERS]
    kind = "" if box.kind in ("trigger", "loop") or box.title == "end" else box.kind
    parts.append(
        f'<text x="{x:g}" y="{y + PAD + 12:g}" text-anchor="middle" fill="{ink}">'
        f'<tspan font-weight="600">{escape(title)}</tspan>'
        + (f'<tspan fill="{stroke}" font-size="10"> {escape(kind)}</tspan>' if kind else "")
        + "</text>"
    )
    for number, text in enumerate(_texts(box), 1):
        parts.append(
            f'<text x="{x:g}" y="{y + PAD + 12 + LINE * number:g}" text-anchor="middle" font-size="11" '
            f'fill="{ink}" opacity="0.8">{escape(text)}</text>'
        )


def _label(text: str, x: float, y: float, parts: list[str]) -> None:
    text = _printable(text)
    shown = text if len(text) <= CHARACTERS else text[: CHARACTERS - 1] + "…"
    parts.append(
        f'<text x="{x:g}" y="{y + 15:g}" text-anchor="middle" font-size="11" font-style="italic" fill="#334155">'
        f"<title>{escape(text)}</title>{escape(shown)}</text>"
    )


def _line(parts: list[str], x1: float, y1: float, x2: float, y2: float, *, arrow: bool = False) -> None:
    parts.append(f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="#94a3b8" stroke-width="1.5" fill="none"/>')
    if arrow:
        parts.append(f'<path d="M{x2 - 4:g} {y2 - 6:g}L{x2:g} {y2:g}L{x2 + 4:g} {y2 - 6:g}Z" fill="#94a3b8"/>')
