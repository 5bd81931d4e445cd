"""The report as one HTML file that asks nothing of a network: light or dark as the reader's system is, scripts for sorting alone."""

from __future__ import annotations

import base64
import dataclasses
import html
from collections.abc import Sequence
from pathlib import Path

from ..data.open import open_dataset
from .charts import HEIGHT, WIDTH, Point, bars, curves, scatter
from .contest import Register
from .entry import Entry
from .pictures import FILLING, GRID
from .style import HEAD, SCRIPT, STYLE
from .table import Column, best, large, present

GRADES = {"grade/": "what captions of the data ask for", "prompt/": "prompts by category"}


def page(register: Register, entries: Sequence[Entry]) -> str:
    """The whole page."""
    title = f"Systems on {register.contest.data}, on equal terms"
    classes = open_dataset(register.contest.data, "test").classes
    body = (
        f"<h1>{_text(title)}</h1>{_said(register, entries)}{_table(entries)}{_plots(entries)}"
        f'<h2>One by one</h2><p class="key"><span class="training">thin line: loss of training batches</span> '
        f'<span class="held">dots: loss of held-out pictures</span>. Each system has a loss of its own kind: curves show how a training '
        f"went, and not who is better.</p>"
        f'<div class="cards">{"".join(_card(register, entry, classes) for entry in entries)}</div>{_terms(register, entries)}'
    )
    return f'<!doctype html><html lang="en"><head>{HEAD}<title>{_text(title)}</title></head><body>{body}<script>{SCRIPT}</script></body></html>\n'


def plots(entries: Sequence[Entry]) -> list[str]:
    """Quality against time: Frechet distance, and accuracy where there is one, an SVG each."""
    kinds = (("frechet", "Frechet distance", True, "{:.3g}"), ("accuracy", "class accuracy", False, "{:.0%}"))
    found = []
    for name, told, log, form in kinds:
        both = [(e.name, e.interval("seconds_an_image"), e.interval(name)) for e in entries]
        points = [Point(named, time.mean, value) for named, time, value in both if time and value]
        if points:
            found.append(scatter(points, "seconds a picture, in batches of 100", told, log, form))
    return found


def picture(entries: Sequence[Entry]) -> str:
    """The plots as one SVG that stands alone, for documents."""
    drawn = plots(entries)
    size = f"{WIDTH * max(len(drawn), 1)} {HEIGHT}"
    style = f"{STYLE} svg svg {{ width: {WIDTH}px; height: {HEIGHT}px; max-width: none }} .back {{ fill: var(--back) }}"
    beside = "".join(f'<g transform="translate({WIDTH * index} 0)">{one}</g>' for index, one in enumerate(drawn))
    back = '<rect class="back" width="100%" height="100%"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}"><style>{style}</style>{back}{beside}</svg>\n'


def _text(value: object) -> str:
    return html.escape(str(value))


def _said(register: Register, entries: Sequence[Entry]) -> str:
    contest, terms = register.contest, register.terms
    assert terms is not None, "a report is written after the work"
    runs = max((len(entry.runs) for entry in entries), default=0)
    rate = f", which it did in {_text(contest.budget)} here" if terms.rate else ""
    kinds = dict.fromkeys(found.kind for e in entries for name in ("frechet", "bits") if (found := e.interval(name)))
    return (
        f"<p>{len(entries)} systems, {runs} seed{'s' * (runs != 1)} each. Every network has {contest.parameters:,} parameters within 10%, and "
        f"its training {large(terms.compute)} multiply-adds: those of {terms.steps:,} steps of {_text(terms.first)}{rate}. "
        f"Intervals: {_text('; '.join(kinds)) or 'none'}.</p>"
    )


def _table(entries: Sequence[Entry]) -> str:
    columns = present(entries)
    heads = "".join(
        f'<th scope="col" title="{_text(c.told)}"><button>{_text(c.heading)}</button></th>' for c in columns
    )
    rows = "".join(_row(entry, columns, entries) for entry in entries)
    return (
        '<p class="key">Click a heading to sort. Bold: the best mean of a column.</p><div class="wide"><table><thead><tr>'
        f'<th scope="col"><button>system</button></th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _row(entry: Entry, columns: Sequence[Column], entries: Sequence[Entry]) -> str:
    name = f'<a href="#{_text(entry.name)}">{_text(entry.name)}</a>'
    cells = "".join(_cell(entry, column, entries) for column in columns)
    if entry.failed and not entry.finished:
        cells = f'<td class="failed" colspan="{max(len(columns), 1)}">{_text(entry.failed)}</td>'
    elif entry.failed:
        name += f'<div class="failed">{_text(entry.failed)}</div>'
    return f'<tr><th scope="row" data-value="{_text(entry.name)}">{name}</th>{cells}</tr>'


def _cell(entry: Entry, column: Column, entries: Sequence[Entry]) -> str:
    found = column.number(entry)
    if found is None:
        return "<td>-</td>"
    kind = ' class="best"' if found.mean == best(column, entries) else ""
    title = f' title="{_text(entry.word("likelihood"))}"' if column.name.startswith("bits") else ""
    number, sign, spread = column.text(entry).partition(" +- ")
    number, bracket, ends = number.partition(" (")
    below = [f"&plusmn; {_text(spread)}"] if sign else [_text(ends.removesuffix(")"))] if bracket else []
    below += ["bound"] if column.name == "bits" and entry.word("likelihood").startswith("bound") else []
    rest = f"<small>{', '.join(below)}</small>" if below else ""
    return f'<td{kind}{title} data-value="{found.mean!r}">{_text(number)} {rest}</td>'


def _plots(entries: Sequence[Entry]) -> str:
    drawn = "".join(plots(entries))
    return f'<h2>Quality against time</h2><div class="plots">{drawn}</div>' if drawn else ""


def _card(register: Register, entry: Entry, classes: Sequence[str]) -> str:
    shares = list(zip(classes, entry.classes, strict=False))
    asked = "".join(_shares(entry, kind, told) for kind, told in GRADES.items())
    failed = f'<p class="failed">{_text(entry.failed)}</p>' if entry.failed else ""
    spec = (
        f"<details><summary>what it decides</summary><code>{_text(entry.system)}</code></details>"
        if entry.system
        else ""
    )
    return (
        f'<section class="card" id="{_text(entry.name)}"><h3>{_text(entry.name)}</h3>{failed}{_drawn(register, entry)}'
        f"{_figure(curves(entry.curves), 'loss')}"
        f"{_figure(bars(shares, 'accuracy by class'), 'accuracy by class') if shares else ''}"
        f"{asked}{spec}</section>"
    )


def _shares(entry: Entry, kind: str, told: str) -> str:
    """Bars of the figures whose names begin so."""
    names = dict.fromkeys(name for run in entry.finished for name in run.figures if name.startswith(kind))
    values = [(name.removeprefix(kind), found.mean) for name in names if (found := entry.interval(name))]
    return _figure(bars(values, told), told) if values else ""


def _drawn(register: Register, entry: Entry) -> str:
    """The pictures of the first run that has any."""
    for run in entry.finished:
        folder = register.folder(entry.name) / f"seed-{run.seed}"
        if (folder / GRID).is_file() and (folder / FILLING).is_file():
            grid = _image(folder / GRID, "png", f"samples of {entry.name}")
            filling = _image(folder / FILLING, "gif", f"{entry.name} drawing step by step")
            return f'<div class="drawn"><figure>{grid}<figcaption>samples</figcaption></figure><figure>{filling}<figcaption>step by step</figcaption></figure></div>'
    return ""


def _image(path: Path, kind: str, told: str) -> str:
    return f'<img alt="{_text(told)}" src="data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}">'


def _figure(drawn: str, told: str) -> str:
    return f"<figure>{drawn}<figcaption>{_text(told)}</figcaption></figure>" if drawn else ""


def _terms(register: Register, entries: Sequence[Entry]) -> str:
    rows = [(f.name, getattr(register.contest, f.name)) for f in dataclasses.fields(register.contest)]
    listed = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in rows)
    notes = dict.fromkeys(note for entry in entries for run in entry.runs for note in run.notes)
    kinds = "".join(f"<li>{_text(e.name)}: {_text(e.word('likelihood'))}</li>" for e in entries if e.word("likelihood"))
    return (
        f"<h2>Terms</h2><table>{listed}</table>{''.join(f'<p>Note: {_text(note)}.</p>' for note in notes)}"
        "<p>A learned tokenizer is trained anew for each seed, before the network and apart from its budget. Times are those of the first "
        "seed's model, measured when nothing else ran. Training seconds depend on what ran beside.</p>"
        f"<h2>What the likelihoods are</h2><ul>{kinds}</ul>"
    )
