"""How a report looks, and the script that sorts its table."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --back: #fdfdfc; --text: #1f2328; --soft: #656d76; --line: #d8dee4; --card: #ffffff; --mark: #0969da;
  --warm: #bc4c00; --bad: #cf222e }
@media (prefers-color-scheme: dark) { :root { --back: #0f1317; --text: #e2e8ee; --soft: #929ba5; --line: #30373f; --card: #171c22;
  --mark: #58a6ff; --warm: #f0883e; --bad: #ff7b72 } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1.5em; max-width: 86em; background: var(--back); color: var(--text) }
h1 { font-size: 1.7em; margin: 0 0 .3em } h2 { font-size: 1.25em; margin: 2em 0 .5em } h3 { font-size: 1.05em; margin: 0 0 .5em }
a { color: inherit; text-decoration-color: var(--line) } small, .key, figcaption, .tick { color: var(--soft); fill: var(--soft) }
.key { font-size: 13px } .wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
td, th { padding: .35em .6em; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; font-weight: normal }
tr > :first-child { text-align: left; position: sticky; left: 0; background: var(--back) } tbody tr:last-child > * { border-bottom: 0 }
thead th { background: var(--card) } thead th:first-child { background: var(--card) }
button { all: unset; cursor: pointer; font-weight: 600 } button:focus-visible { outline: 2px solid var(--mark) }
th[aria-sort] button { color: var(--mark) } th[aria-sort=ascending] button::after { content: " \\2191" }
th[aria-sort=descending] button::after { content: " \\2193" }
.best { font-weight: 700 } td, tbody th { vertical-align: top } td small { display: block; font-weight: normal; font-size: 11px } .failed { color: var(--bad); font-size: 12px; white-space: normal; overflow-wrap: anywhere; min-width: 14em; max-width: 70em } td.failed { text-align: left }
.plots { display: flex; flex-wrap: wrap; gap: 1em } .cards { display: grid; gap: 1em; grid-template-columns: repeat(auto-fill, minmax(360px, 1fr)) }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1em; overflow: hidden }
.drawn { display: flex; flex-wrap: wrap; gap: 0 .8em; align-items: flex-start } figure { margin: 0 0 .6em } figcaption { font-size: 12px }
.drawn img { image-rendering: pixelated; display: block; height: 176px; width: auto; max-width: 100%; object-fit: contain; object-position: left top }
code { font-size: 12px; overflow-wrap: anywhere } summary { cursor: pointer; font-size: 13px; color: var(--soft) }
svg { max-width: 100%; height: auto; font: 11px system-ui, sans-serif; fill: currentColor; color: var(--text) }
.grid { stroke: var(--line); stroke-width: 1 } .tick { font-size: 10px } .point circle { fill: var(--mark) }
.point line { stroke: var(--mark); stroke-width: 1.5; opacity: .6 } polyline { fill: none; stroke-width: 1.2; opacity: .9 }
polyline.training { stroke: var(--mark) } polyline.held { stroke: var(--warm) } circle.held { fill: var(--warm) }
.bar rect { fill: var(--mark) } .bar rect.hit { fill: transparent } .bar:hover rect { fill: var(--warm) } .bar:hover rect.hit { fill: transparent }
span.training::before { content: "\\2014  "; color: var(--mark) } span.held::before { content: "\\2022  "; color: var(--warm) }
"""

# nothing is fetched, whatever a name or a message holds
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
HEAD = (
    f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
    f'content="{POLICY}"><style>{STYLE}</style>'
)

SCRIPT = """
for (const button of document.querySelectorAll("thead button")) button.onclick = () => {
  const head = button.parentElement, column = head.cellIndex, body = head.closest("table").tBodies[0];
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = row => row.cells[column]?.dataset.value, sign = up ? 1 : -1;
  body.append(...[...body.rows].sort((a, b) => {
    const x = value(a), y = value(b);
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return sign * (column ? x - y : x.localeCompare(y));
  }));
};
"""
