"""`python -m tests.parity.table`: writes docs/checkpoints.md, the published weights that load and what was measured of them.

Runs the comparisons with the recordings, so it needs them (NEXTSET_PARITY).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nextset.family import Coder
from nextset.system import System
from nextset.weights.families import Named, blueprint, known
from nextset.weights.hub import PLACE

from .recordings import COMPARED

HERE = Path(__file__).parent
DOCUMENT = HERE.parent.parent / "docs" / "checkpoints.md"
HEAD = """# Published checkpoints

Written by `python -m tests.parity.table`. The keys and shapes of these sizes are exactly those of the official code, as manifests
list them; there are none of DnD-Transformer, and NPP's are LlamaGen's. HART's manifest is that of 256 pixels: at 1024 its counts of hits
start afresh. `load("llamagen/b")` loads a size by its name, `load_official` any file of a family.
Nobody has run the true files here: names of files are those that the repositories state. Licences are those that the official
repositories state, of their code unless they say more; ask the authors where there is none.

## Sizes

"tokenizer" says how many parameters the tokenizer has beside those of the generator.

| name | parameters | tokenizer | file | licence | tests |
| --- | --- | --- | --- | --- | --- |
"""
MEASURED = """
## Measured

Tiny instances of every family with random weights, recorded from the official code: our numbers against theirs, float32 on a CPU.
Ids that were drawn or encoded are not in the table: they are equal, each of them. "of the tolerance" is the largest error as a share
of what the recordings allow for it; chains of diffusion (MAR) are allowed a share of their standard deviation, which can be large.

| tests | tensors | largest error | its tolerance | of the tolerance |
| --- | --- | --- | --- | --- |
"""


def tests(name: str) -> str:
    """The modules that compare a family."""
    module = name.replace("-", "_")
    asked = re.compile(
        rf"nextset\.official(\.| import .*\b){module}\b|load_official\(\s*\"{name}|Recordings\(\"{module}"
    )
    found = [path.stem for path in sorted(HERE.glob("test_*.py")) if asked.search(path.read_text())]
    return ", ".join(f"`{stem}`" for stem in found)


def millions(spec: object) -> str:
    """Parameters, without what is kept of statistics."""
    return f"{sum(v.numel() for v in blueprint(spec).values()) / 1e6:,.1f} M"  # type: ignore[arg-type]


def rows() -> Iterator[str]:
    """One published size each."""
    for name, family in known().items():
        for size, spec in Named(name, family, "").sizes.items():
            place = family.published.get(size)
            if place is None:
                continue
            alone = isinstance(family, Coder)
            sizes = ("", millions(spec)) if alone else (millions(spec), millions(spec.tokenizer))  # type: ignore[union-attr]
            file = place.tokenizer if alone else place.network
            where = file if PLACE.fullmatch(file) else f"{file} of {place.home}"
            yield f"| `{name}/{size}` | {' | '.join(sizes)} | {where} | {family.licence or 'none stated'} | {tests(name)} |"
            assert alone or isinstance(spec, System)


def measured() -> Iterator[str]:
    """One module of tests each."""
    modules: dict[str, list[tuple[float, float]]] = {}
    for test, error, tolerance in COMPARED:
        modules.setdefault(Path(test.partition("::")[0]).stem, []).append((error, tolerance))
    for stem, found in sorted(modules.items()):
        error, tolerance = max(found, key=lambda pair: pair[0] / pair[1] if pair[1] else 0.0)
        share = f"{error / tolerance:.0%}" if tolerance else "equal"
        yield f"| `{stem}` | {len(found)} | {error:.1e} | {tolerance:.0e} | {share} |"


def main() -> int:
    """Compares, then writes; exit code 1 where a comparison fails."""
    code = pytest.main([str(HERE), "-q", "--no-header", "-p", "no:xdist"])
    DOCUMENT.write_text(HEAD + "\n".join(rows()) + "\n" + MEASURED + "\n".join(measured()) + "\n", encoding="utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
