"""The report of a contest: a table, a plot of quality against time, sample grids; text, JSON, PNG, and one HTML file that needs no network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import need
from ..files import save_json, write_atomically
from .contest import GRID, Contest, Entry, entries_to_json

JSON, HTML, PLOT = "contest-results.json", "report.html", "quality-against-time.png"


@dataclass(frozen=True)
class Column:
    """A figure in the table: its name, its heading, and how it is written."""

    name: str
    heading: str
    form: str = "{:.3g}"
    less_is_better: bool | None = None


COLUMNS = (
    Column("parameters", "parameters", "{:,.0f}"),
    Column("train_steps", "train steps", "{:.0f}"),
    Column("train_multiply_adds", "train MACs", "{:.3g}"),
    Column("bits", "bits/dim", "{:.3f}", less_is_better=True),
    Column("bits_a_token", "bits/token", "{:.3f}"),
    Column("frechet", "Frechet", "{:.2f}", less_is_better=True),
    Column("accuracy", "class accuracy", "{:.1%}", less_is_better=False),
    Column("precision", "precision", "{:.2f}", less_is_better=False),
    Column("recall", "recall", "{:.2f}", less_is_better=False),
    Column("guidance", "guidance", "{:g}"),
    Column("steps", "steps", "{:.0f}", less_is_better=True),
    Column("seconds_an_image", "s/image in 100", "{:.4f}", less_is_better=True),
    Column("seconds_alone", "s/image alone", "{:.3f}", less_is_better=True),
    Column("multiply_adds", "MACs/image", "{:.3g}", less_is_better=True),
    Column("train_seconds", "train s", "{:.0f}"),
)


def table(entries: Sequence[Entry]) -> list[list[str]]:
    """Rows of text, a heading first; a figure that there is not is "-", what failed says why in its second cell."""
    rows = [["system", *(column.heading for column in COLUMNS)]]
    for entry in entries:
        cells = [f"failed: {entry.failed}", *[""] * (len(COLUMNS) - 1)] if entry.failed else _cells(entry)
        rows.append([entry.name, *cells])
    return rows


def _cells(entry: Entry) -> list[str]:
    values = ((column, entry.figures.get(column.name)) for column in COLUMNS)
    return [column.form.format(value) if isinstance(value, int | float) else "-" for column, value in values]


def write_report(contest: Contest, entries: Sequence[Entry], out: Path) -> None:
    """Writes JSON, PNG and HTML into the contest's folder, each atomically."""
    save_json(out / JSON, entries_to_json(contest, entries))
    picture = plot([entry for entry in entries if not entry.failed])
    write_atomically(out / PLOT, lambda path: path.write_bytes(picture))
    page = _page(contest, entries, picture, out)
    write_atomically(out / HTML, lambda path: path.write_text(page, encoding="utf-8"))


def plot(entries: Sequence[Entry]) -> bytes:
    """Frechet distance and class accuracy against seconds an image (in batches of 100), a point a system, as a PNG."""
    need("matplotlib", "train")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, name, label in zip(
        figure.subplots(1, 2), ("frechet", "accuracy"), ("Frechet distance", "class accuracy"), strict=True
    ):
        for entry in entries:
            x, y = entry.figures["seconds_an_image"], entry.figures[name]
            axes.plot(x, y, "o")
            axes.annotate(entry.name, (x, y), textcoords="offset points", xytext=(5, 4), fontsize=8)
        axes.set(xscale="log", xlabel="seconds an image, in batches of 100", ylabel=label)
        axes.grid(alpha=0.3)
        axes.margins(0.15)
    figure.axes[0].set_yscale("log")
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=110)
    return written.getvalue()


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; font-size: 13px } th, td { padding: .3em .6em; text-align: right; border-bottom: 1px solid #ddd }
th { cursor: pointer; background: #f4f4f4; position: sticky; top: 0 } td:first-child, th:first-child { text-align: left }
td.best { font-weight: bold } .wide { overflow-x: auto } figure { display: inline-block; margin: .5em } img { max-width: 100% }
figcaption { font-size: 13px }
"""
SCRIPT = """
for (const head of document.querySelectorAll("th")) head.onclick = () => {
  const column = head.cellIndex, body = head.closest("table").tBodies[0], rows = [...body.rows];
  const value = row => { const text = row.cells[column] ? row.cells[column].dataset.value : ""; return text === "" || text === undefined ? NaN : +text };
  const up = head.dataset.up = head.dataset.up === "1" ? "" : "1";
  rows.sort((a, b) => {
    const x = value(a), y = value(b);
    if (column === 0) return (up ? 1 : -1) * a.cells[0].textContent.localeCompare(b.cells[0].textContent);
    return isNaN(x) ? 1 : isNaN(y) ? -1 : (up ? 1 : -1) * (x - y);
  });
  body.append(...rows);
};
"""


def _page(contest: Contest, entries: Sequence[Entry], picture: bytes, out: Path) -> str:
    head = "".join(f"<th>{html.escape(text)}</th>" for text in table(entries)[0])
    body = "".join(_row(entry, entries) for entry in entries)
    grids = "".join(
        f"<figure>{_image((out / entry.name.replace('/', '-') / GRID).read_bytes(), entry.name)}"
        f"<figcaption>{html.escape(entry.name)}, a column a class</figcaption></figure>"
        for entry in entries
        if (out / entry.name.replace("/", "-") / GRID).is_file()
    )
    systems = "".join(f"<li><b>{html.escape(e.name)}</b>: <code>{html.escape(e.system)}</code></li>" for e in entries)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>nextset: {html.escape(contest.data)}</title>'
        f"<style>{STYLE}</style><h1>Systems on {html.escape(contest.data)}, on equal terms</h1>"
        f"<p><code>{html.escape(str(contest))}</code></p><p>Click a heading to sort. Bold: best of its column.</p>"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"<h2>Quality against time</h2>{_image(picture, 'quality against time')}"
        f"<h2>Samples</h2>{grids}<h2>What took part</h2><ul>{systems}</ul><script>{SCRIPT}</script></html>\n"
    )


def _row(entry: Entry, entries: Sequence[Entry]) -> str:
    if entry.failed:
        return f'<tr><td>{html.escape(entry.name)}</td><td colspan="{len(COLUMNS)}">failed: {html.escape(entry.failed)}</td></tr>'
    cells = []
    for column, text in zip(COLUMNS, _cells(entry), strict=True):
        value = entry.figures.get(column.name)
        best = ' class="best"' if value is not None and value == _best(column, entries) else ""
        cells.append(f'<td{best} data-value="{"" if value is None else value}">{text}</td>')
    return f"<tr><td>{html.escape(entry.name)}</td>{''.join(cells)}</tr>"


def _best(column: Column, entries: Sequence[Entry]) -> Any:
    values = [e.figures[column.name] for e in entries if column.name in e.figures]
    if column.less_is_better is None or not values:
        return None
    return min(values) if column.less_is_better else max(values)


def _image(data: bytes, told: str) -> str:
    return f'<img alt="{html.escape(told)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'
