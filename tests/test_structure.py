"""The house rules, read from the source: which way imports go, how long things may be, and that importing does nothing."""

from __future__ import annotations

import ast
import json
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

# From the ground up. A module imports modules of lines below its own; those of one line do not know each other.
LEVELS = (
    ("errors",),
    ("spec", "noise", "files", "digest", "keymap", "blueprint"),
    ("layout", "slots"),
    ("nn", "data"),
    ("mixers",),
    ("tokenizers", "orders", "heads", "backbones", "conditions"),
    ("wirings", "objectives"),
    ("decode",),
    ("folders",),
    ("checkpoints",),
    ("system",),
    ("inference", "partial"),
    ("model", "account", "pretrained"),
    ("engine",),
    ("family",),
    ("systems",),
    ("official",),
    ("catalogue",),
    ("weights",),
    ("__init__",),
    ("evaluate",),
    ("sampling",),
    ("train",),
    ("arena",),
    ("demo", "serve"),
    ("cli",),
    ("__main__",),
)
# `system.build()` opens the model when it is called; an import at the top would be a circle.
LAZY = {("system", "model")}

FILE_LINES, SYSTEM_LINES, FUNCTION_LINES, ARGUMENTS = 400, 120, 60, 8
MEDIAN_LINES, P90_LINES = 10, 40
JUNK_DRAWERS = {"utils", "util", "helpers", "common", "misc"}
# not an extra, and still too slow to load for everybody who imports nextset
HEAVY = {"sklearn", "scipy", "pandas", "tyro", "huggingface_hub", "torch._dynamo", "torch._inductor"}
IMPORT_NAMES = {"faiss-cpu": "faiss", "pillow": "PIL", "scikit-learn": "sklearn"}

ROOT = Path(__file__).resolve().parent.parent
RANK = {name: rank for rank, names in enumerate(LEVELS) for name in names}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Sources = dict[Path, ast.Module]


def parse(*folders: str) -> Sources:
    """Every Python file of these folders, by its path from the root."""
    paths = sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py"))
    return {p.relative_to(ROOT): ast.parse(p.read_text(encoding="utf-8")) for p in paths}


@pytest.fixture(scope="module")
def package() -> Sources:
    return parse("nextset")


@pytest.fixture(scope="module")
def everything() -> Sources:
    return parse("nextset", "tests", "claims", "benchmarks")


def report(lines: Iterator[str]) -> None:
    """Fails with all of them at once."""
    found = dict.fromkeys(lines)
    if found:
        pytest.fail("\n".join(found), pytrace=False)


# imports


def imported(path: Path, node: ast.AST) -> Iterator[str]:
    """Full names of the modules that one import statement of `path` names; of other statements none."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        package = path.parts[:-1]
        base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
        stem = ".".join(part for part in (base, node.module) if part)
        yield from (f"{stem}.{alias.name}" for alias in node.names)


def top(path: Path) -> str:
    """The name in LEVELS of a file of the package."""
    return path.parts[1].removesuffix(".py")


def own_targets(path: Path, node: ast.AST) -> Iterator[tuple[str, str]]:
    """(name in LEVELS, what is asked of it) for each import from nextset itself."""
    for name in imported(path, node):
        first, *rest = name.split(".")
        if first == "nextset":
            known = bool(rest) and ((ROOT / first / rest[0]).is_dir() or (ROOT / first / f"{rest[0]}.py").is_file())
            yield (rest[0], ".".join(rest[1:])) if known or (rest and rest[0] in RANK) else ("__init__", ".".join(rest))


def wrong_directions(path: Path, tree: ast.Module) -> Iterator[str]:
    """Imports that do not go towards the ground."""
    here = top(path)
    for node in ast.walk(tree):
        for target, asked in own_targets(path, node):
            where = f"{path}:{getattr(node, 'lineno', 0)}: {here} imports {target}"
            if target == here or (here, target) in LAZY or {here, target} - RANK.keys():
                continue
            if RANK[target] >= RANK[here]:
                yield f"{where}, which does not lie below it (LEVELS in tests/test_structure.py)"
            elif target == "systems" and here not in ("catalogue", "official"):
                yield f"{where}; only the catalogue and official may, everybody else asks by name"
            elif target == "systems" and asked and here == "catalogue":
                yield f"{where}.{asked}; it may import a system by name only, when asked for it"


def test_imports_go_towards_the_ground(package: Sources) -> None:
    report(line for path, tree in package.items() for line in wrong_directions(path, tree))


def test_every_module_has_a_level(package: Sources) -> None:
    report(f"nextset.{name} is new: add it to LEVELS" for name in sorted({top(p) for p in package} - RANK.keys()))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("nextset/orders/new.py", "from ..heads import Categorical"),
        ("nextset/orders/new.py", "def f():\n    from ..system import System"),
        ("nextset/nn/new.py", "from nextset.mixers.base import Cache"),
        ("nextset/layout.py", "import nextset.orders.raster"),
        ("nextset/heads/new.py", "from .. import orders"),
        ("nextset/evaluate/new.py", "from ..systems import llamagen"),
        ("nextset/catalogue.py", "from .systems.llamagen import SIZES"),
        ("nextset/model.py", "from . import load"),
    ],
)
def test_a_wrong_import_is_found(path: str, source: str) -> None:
    assert list(wrong_directions(Path(path), ast.parse(source)))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("nextset/heads/new.py", "from .. import spec"),  # the module, not the public function of that name
        ("nextset/heads/new.py", "from .base import Head"),
        ("nextset/systems/new.py", "from ..orders import Raster"),
        ("nextset/official/new.py", "from ..systems.llamagen import llamagen"),
        ("nextset/cli.py", "from . import __version__"),
    ],
)
def test_a_right_import_passes(path: str, source: str) -> None:
    assert not list(wrong_directions(Path(path), ast.parse(source)))


# what is installed


def requirements() -> tuple[set[str], set[str]]:
    """Import names of the core's dependencies and of the optional extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [r for name, names in project["optional-dependencies"].items() if name != "dev" for r in names]
    return _import_names(project["dependencies"]), _import_names(extras)


def _import_names(lines: list[str]) -> set[str]:
    names = {re.split(r"[^A-Za-z0-9._-]", line)[0] for line in lines} - {"nextset"}
    return {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when the module is imported: not the bodies of functions, not what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not typing_only and not isinstance(child, Function | ast.Lambda):
            yield child
            yield from at_import(child)


def foreign(path: Path, nodes: Iterator[ast.AST]) -> Iterator[tuple[int, str]]:
    """(line, top-level name) of imports from outside Python and nextset."""
    for node in nodes:
        for name in imported(path, node):
            first = name.partition(".")[0]
            if first != "nextset" and first not in sys.stdlib_module_names:
                yield getattr(node, "lineno", 0), first


def test_third_party_imports_are_declared(package: Sources) -> None:
    declared = set.union(*requirements())
    report(
        f"{path}:{line}: {name} is neither a dependency nor an extra in pyproject.toml"
        for path, tree in package.items()
        for line, name in foreign(path, ast.walk(tree))
        if name not in declared
    )


def test_extras_are_imported_in_functions(package: Sources) -> None:
    extras = requirements()[1]
    report(
        f"{path}:{line}: {name} belongs to an extra; import it inside the function that needs it"
        for path, tree in package.items()
        for line, name in foreign(path, at_import(tree))
        if name in extras
    )


# what importing does

LOADED = "import json, sys, nextset; print(json.dumps(sorted(sys.modules)))"

# The dependencies come first: what they do when imported is theirs. Then every module of nextset, watched.
WATCHED = """
import importlib, json, pkgutil, sys
import huggingface_hub, numpy, PIL.Image, safetensors.torch, sklearn.datasets, torch, tqdm, tyro
acts = []
WATCH = {"os.mkdir", "os.rename", "os.remove", "os.putenv", "os.system", "subprocess.Popen", "socket.connect"}
def hook(event, args):
    if event in WATCH or (event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")):
        acts.append(f"{event} {args}")
sys.addaudithook(hook)
settings = lambda: [torch.get_rng_state().sum().item(), torch.get_num_threads(), str(torch.get_default_dtype()),
    torch.is_grad_enabled(), torch.get_float32_matmul_precision()]
before = settings()
import nextset
for module in pkgutil.walk_packages(nextset.__path__, "nextset."):
    try:
        module.name != "nextset.__main__" and importlib.import_module(module.name)
    except ImportError as error:
        acts.append(f"{module.name} cannot be imported: {error}")
if settings() != before:
    acts.append(f"torch's settings or random state from {before} to {settings()}")
if torch.cuda.is_initialized():
    acts.append("CUDA initialised")
print(json.dumps(acts))
"""


def run(code: str) -> list[str]:
    """What a fresh interpreter prints for `code`, as JSON."""
    # -B: bytecode would be a file written; -P: the package as installed, not as it happens to lie in the folder
    done = subprocess.run([sys.executable, "-B", "-P", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_import_stays_light() -> None:
    loaded = set(run(LOADED))
    report(f"import nextset loads {name}" for name in sorted(loaded & (HEAVY | requirements()[1])))


def test_import_takes_no_action() -> None:
    report(f"importing nextset acts: {act}" for act in run(WATCHED))


# numbers to hold


def functions(tree: ast.Module) -> Iterator[Function]:
    """All functions and methods, nested ones too."""
    yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def length(node: Function) -> int:
    """Lines from `def` to the end."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def arguments(node: Function) -> list[ast.arg]:
    """Named arguments without self or cls."""
    named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return named[1:] if named and named[0].arg in ("self", "cls") else named


def too_long(path: Path) -> Iterator[str]:
    """What to say of a file over its limit."""
    limit = SYSTEM_LINES if path.parts[:2] == ("nextset", "systems") else FILE_LINES
    lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
    if lines > limit:
        yield f"{path} has {lines} lines, at most {limit}: split it by idea"


def test_files_are_short(everything: Sources) -> None:
    report(line for path in everything for line in too_long(path))


def test_functions_are_short(everything: Sources) -> None:
    report(
        f"{path}:{node.lineno}: {node.name} has {length(node)} lines, at most {FUNCTION_LINES}"
        for path, tree in everything.items()
        for node in functions(tree)
        if length(node) > FUNCTION_LINES
    )


def test_most_functions_are_shorter(package: Sources) -> None:
    lengths = [length(node) for tree in package.values() for node in functions(tree)]
    assert statistics.median(lengths) <= MEDIAN_LINES
    assert statistics.quantiles(lengths, n=10)[-1] <= P90_LINES


def test_functions_take_few_arguments(everything: Sources) -> None:
    report(
        f"{path}:{node.lineno}: {node.name} takes {len(arguments(node))} arguments, at most {ARGUMENTS}"
        for path, tree in everything.items()
        for node in functions(tree)
        if len(arguments(node)) > ARGUMENTS
    )


def test_files_are_named_after_an_idea(everything: Sources) -> None:
    report(f"{path}: name it after the idea it holds" for path in everything if JUNK_DRAWERS & {path.stem, *path.parts})


def test_code_is_ascii(everything: Sources) -> None:
    report(
        f"{path}:{number}: not ASCII: {line.strip()!r}"
        for path in everything
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        if not line.isascii()
    )


# what is public


def public(node: ast.Module | ast.ClassDef) -> Iterator[Function | ast.ClassDef]:
    """Public classes, functions and methods; not setters and overloads, which share another's docstring."""
    for child in node.body:
        if isinstance(child, Function | ast.ClassDef) and not child.name.startswith("_"):
            if not any(ast.unparse(d).endswith(("overload", ".setter")) for d in child.decorator_list):
                yield child
            if isinstance(child, ast.ClassDef):
                yield from public(child)


def signatures(node: ast.Module | ast.ClassDef) -> Iterator[Function]:
    """Public functions and methods, and the special methods of public classes."""
    for child in node.body:
        if isinstance(child, Function) and (not child.name.startswith("_") or child.name.endswith("__")):
            yield child
        elif isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from signatures(child)


def undocumented(path: Path, tree: ast.Module) -> Iterator[str]:
    """What is public and has no docstring."""
    for node in (tree, *public(tree)):
        if not ast.get_docstring(node):
            yield f"{path}:{getattr(node, 'lineno', 1)}: {getattr(node, 'name', 'the module')} has no docstring"


def untyped(path: Path, tree: ast.Module) -> Iterator[str]:
    """Public arguments and results without a type."""
    for node in signatures(tree):
        stars = [arg for arg in (node.args.vararg, node.args.kwarg) if arg]
        bare = [arg.arg for arg in [*arguments(node), *stars] if arg.annotation is None]
        if bare or node.returns is None:
            yield f"{path}:{node.lineno}: {node.name} lacks the type of {', '.join(bare) or 'its result'}"


def test_public_things_have_docstrings(package: Sources) -> None:
    report(line for path, tree in package.items() for line in undocumented(path, tree))


def test_public_signatures_are_typed(package: Sources) -> None:
    report(line for path, tree in package.items() for line in untyped(path, tree))


def test_gaps_are_found() -> None:
    tree = ast.parse(
        "class A:\n    def f(self, x):\n        return x\n    def _g(self, y): ...\ndef h(*a: int) -> int: ..."
    )
    assert len(list(undocumented(Path("a.py"), tree))) == 4  # the module, A, f and h
    assert list(untyped(Path("a.py"), tree)) == ["a.py:2: f lacks the type of x"]
