"""The report: numbers as written, a page that needs no network and escapes everything, charts that say what they should."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from nextset import catalogue
from nextset.arena import Contest, Entry, Run, table, write_report
from nextset.arena.charts import Axis, Point, axis, bars, curves, scatter
from nextset.arena.contest import Register, Terms
from nextset.arena.entry import Curve
from nextset.arena.interval import interval
from nextset.arena.pictures import FILLING, GRID
from nextset.arena.report import HTML, JSON, PLOT
from nextset.arena.table import large
from nextset.evaluate import save_grid
from nextset.sampling import save_gif

CONTEST = Contest(samples=20, tries=8)
FLAT = Curve([(0.5, 2.0), (1.0, 1.0)], [(1.0, 1.5)])


def made(name: str, *values: float, failed: str = "", second: float = 0.01) -> Entry:
    """An entry with these Frechet distances."""
    runs = [
        Run(k, {"frechet": value, "accuracy": 0.5, "steps": 64}, [1.0, None, 0.5]) for k, value in enumerate(values)
    ]
    runs += [Run(len(values), failed=failed)] if failed else []
    times = {"seconds_an_image": second} if values else {}
    return Entry(name, f"System({name})", tuple(runs), (FLAT,) * len(runs), times)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, list[Entry]]:
    """A contest's folder with a report of three systems."""
    entries = [
        made("slow", 1.0, 2.0, 3.0, second=0.04),
        made("quick", 9.0, 7.0, failed='crashed: <b>bold</b> & "quoted"'),
        made("gone", failed="diverged at step 7"),
        Entry("odd", "", misfit="its parts do not fit"),
    ]
    system = catalogue.spec("llamagen/digits")
    register = Register(CONTEST, tmp_path, Terms("slow", 10, 1.5e9, 0.0), {"slow": system}, {"slow": system})
    register.save()
    for entry in entries[:2]:
        save_grid(torch.rand(4, 1, 8, 8), register.folder(entry.name) / "seed-0" / GRID)
        save_gif([torch.rand(4, 1, 8, 8)] * 2, register.folder(entry.name) / "seed-0" / FILLING, scale=1)
    write_report(CONTEST, entries, tmp_path)
    return tmp_path, entries


def test_numbers_are_written_with_their_intervals(written: tuple[Path, list[Entry]]) -> None:
    """Of three a 95% t-interval, of two both values, of one nothing."""
    rows = table(written[1])
    column = rows[0].index("Frechet")
    assert [row[column] for row in rows[1:]] == ["2.00 +- 2.48", "8.00 (7.00 to 9.00)", "-", "-"]
    assert [row[-1] for row in rows[1:]][2:] == ["seed 0 diverged at step 7", "did not take part: its parts do not fit"]
    assert table([made("one", 4.0)])[1][1] == "4.00"
    assert [large(value) for value in (12_400_000, 3.64e12, 999.4, 0)] == ["12.4 M", "3.64 T", "999", "0"]


class Reader(html.parser.HTMLParser):
    """What a page holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.asked: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.asked += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_asks_nothing_of_a_network(written: tuple[Path, list[Entry]]) -> None:
    out, entries = written
    page = (out / HTML).read_text()
    reader = Reader(page)
    assert not reader.open
    assert all(value.startswith(("data:image/", "#")) for value in reader.asked)
    assert not re.search(r"@import|url\(|https?://(?!www.w3.org/2000/svg)", page)
    assert reader.tags.count("img") == 4
    assert reader.tags.count("section") == len(entries)
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; &quot;quoted&quot;" in page
    assert "2.00 <small>&plusmn; 2.48" in page


def test_the_plot_is_a_picture_of_its_own(written: tuple[Path, list[Entry]]) -> None:
    root = ElementTree.parse(written[0] / PLOT).getroot()
    named = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [named.count(name) for name in ("slow", "quick", "gone")] == [2, 2, 0]


def test_the_figures_as_json(written: tuple[Path, list[Entry]]) -> None:
    out, entries = written
    data = json.loads((out / JSON).read_text())
    assert Contest.from_dict(data["contest"]) == CONTEST
    assert data["terms"]["compute"] == 1.5e9
    assert [entry["name"] for entry in data["entries"]] == [entry.name for entry in entries]
    found = data["entries"][0]["intervals"]["frechet"]
    assert (found["mean"], found["count"]) == (2.0, 3)
    assert data["entries"][0]["runs"][2]["figures"]["frechet"] == 3.0
    assert data["entries"][0]["curves"][0]["held_out"] == [[1.0, 1.5]]


CLICK = """<script>const heads = () => [...document.querySelectorAll("thead button")];
const order = () => [...document.querySelectorAll("tbody tr:has(th[data-value])")].map(row => row.cells[0].dataset.value).join();
const said = [order()];
for (const heading of ["Frechet", "Frechet", "system"]) {
  heads().find(b => b.textContent === heading).click(); said.push(order() + ":" + document.querySelector("th[aria-sort]").ariaSort);
}
document.title = said.join(" ");</script>"""


def test_a_browser_sorts_the_table(written: tuple[Path, list[Entry]], tmp_path: Path) -> None:
    """Up, down, by name; what has no figure stays last."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("needs chromium, to click on a heading")
    page = tmp_path / "clicked.html"
    page.write_text((written[0] / HTML).read_text().replace("</body>", f"{CLICK}</body>"))
    quiet = [
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    words = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        *quiet,
        f"--user-data-dir={tmp_path / 'user'}",
        "--dump-dom",
        page.as_uri(),
    ]
    found = subprocess.run([browser, *words], capture_output=True, text=True, timeout=60)
    title = re.search("<title>(.*?)</title>", found.stdout)
    assert title, found.stderr
    assert title[1].split(" ") == [
        "slow,quick,gone,odd",
        "slow,quick,gone,odd:ascending",
        "quick,slow,gone,odd:descending",
        "gone,odd,quick,slow:ascending",
    ]


def test_ticks_are_round_and_inside() -> None:
    for low, high, log in (
        (0.003, 0.008, True),
        (0.5, 90.0, True),
        (1e-4, 10.0, True),
        (0.0, 1.0, False),
        (2.3, 2.9, False),
    ):
        ticks = Axis(low, high, 0, 100, log).ticks
        assert 2 <= len(ticks) <= 12
        assert low <= min(ticks) <= max(ticks) <= high * (1 + 1e-9)
    flat = axis([3.0, 3.0], 0, 100)
    assert flat(3.0) == pytest.approx(50)


def test_labels_keep_off_each_other() -> None:
    """Twenty systems, many of them close together."""
    points = [
        Point(f"system-{k:02}", 0.001 * 1.02 ** (k % 7) * 3 ** (k // 7), interval([1.0 + 0.05 * k])) for k in range(20)
    ]
    drawn = scatter(points, "x", "y", True, "{:.3g}")
    places = re.findall(r'<text x="([\d.]+)" y="([\d.]+)">(system-\d\d)', drawn)
    assert len(places) == 20
    boxes = [(float(x), float(y), float(x) + 6.2 * len(name), float(y) + 12) for x, y, name in places]
    clashes = [
        (a, b) for a in boxes for b in boxes if a < b and a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]
    assert len(clashes) <= 2


def test_bars_and_curves() -> None:
    drawn = bars([("zero", 0.5), ("one", None), ("<two>", 1.0)], "shares")
    assert [round(float(h)) for h in re.findall(r'<rect x=.*? height="([\d.]+)"', drawn)] == [35, 0, 70]
    assert "<title>one: none</title>" in drawn
    assert "&lt;two&gt;" in drawn
    rows = bars([("colour attribution", 0.5), ("position", None)] * 3, "prompts")
    assert re.findall(r">([^<>]+)</text>", rows) == ["colour attribution", "50.0%", "position", "none"] * 3
    many = bars([(f"a long name {k}", 0.5) for k in range(36)], "many")
    assert many.count("<title>") == 36
    assert "<text" not in many
    assert curves([Curve([], [])]) == ""
    assert curves([FLAT, replace(FLAT, held_out=[])]).count("<polyline") == 3
