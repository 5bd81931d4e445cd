"""What all commands share: exit codes, where words go, and what is said when something fails."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import nextset
from nextset import cli
from nextset.errors import NextsetError, UsageError

Captured = pytest.CaptureFixture[str]


def raising(error: BaseException) -> Any:
    """A command that fails."""

    def main(words: list[str]) -> int:
        raise error

    return main


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes `nextset list` fail with an error."""
    return lambda error: monkeypatch.setattr("nextset.cli.catalogue.List.main", raising(error))


def test_without_a_command_the_usage_is_told(capsys: Captured) -> None:
    assert cli.main([]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert cli.main(["--help"]) == 0
    assert capsys.readouterr().out == told.err
    assert all(f"\n  {name} " in told.err for name in cli.COMMANDS)


def test_version(capsys: Captured) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"{nextset.__version__}\n"


@pytest.mark.parametrize(("word", "meant"), [("lst", "list"), ("dif", "diff"), ("evalute", "evaluate")])
def test_an_unknown_command_suggests_the_nearest(word: str, meant: str, capsys: Captured) -> None:
    assert cli.main([word]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"nextset: there is no command {word!r}; did you mean {meant!r}?\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(name: str, capsys: Captured) -> None:
    if importlib.util.find_spec(f"nextset.cli.{cli.COMMANDS[name][0]}") is None:
        pytest.skip("not written yet")
    assert cli.main([name, "--help"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.startswith(f"usage: nextset {name}")
    assert "--help" in told.out


@pytest.mark.parametrize("name", ["check", "encode"])
def test_every_command_of_data_has_help(name: str, capsys: Captured) -> None:
    assert cli.main(["data", name, "--help"]) == 0
    assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["list", "--jsn"], ["info"], ["diff", "llamagen"], ["data", "chek"]])
def test_wrong_options_are_wrong_use(words: list[str], capsys: Captured) -> None:
    assert cli.main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "Traceback" not in told.err
    assert f"nextset {words[0]} --help" in told.err


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UsageError("size must be positive"), 2, "nextset: size must be positive\n"),
        (NextsetError("a.png is damaged"), 1, "nextset: a.png is damaged\n"),
        (FileNotFoundError(2, "No such file or directory", "a.png"), 1, "nextset: [Errno 2] No such file"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (ZeroDivisionError("division by zero"), 1, "nextset: ZeroDivisionError: division by zero (a bug: "),
        (SystemExit(143), 143, ""),
        (SystemExit(None), 0, ""),
    ],
)
def test_errors_are_one_sentence_and_an_exit_code(
    error: BaseException, code: int, told: str, failing: Any, capsys: Captured
) -> None:
    failing(error)
    assert cli.main(["list"]) == code
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith(told)
    assert len(found.err.splitlines()) == bool(told)


def test_debug_shows_the_traceback(failing: Any) -> None:
    failing(UsageError("size must be positive"))
    with pytest.raises(UsageError, match="size"):
        cli.main(["list", "--debug"])


def test_warnings_are_notes(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def main(words: list[str]) -> int:
        warnings.warn("few pictures", stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        return 0

    monkeypatch.setattr("nextset.cli.catalogue.List.main", main)
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().err == "note: few pictures\n"


def run(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """A process of its own."""
    return subprocess.run([sys.executable, "-m", "nextset", *words], capture_output=True, text=True, **more)


def test_a_process_ends_with_the_code() -> None:
    done = run("info", "llamagn")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "nextset: there is no system 'llamagn'; did you mean 'llamagen'?\n"
    done = run("info", "llamagn", "--debug")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "UsageError" in done.stderr


def test_a_closed_pipe_is_no_error() -> None:
    words = [sys.executable, "-m", "nextset", "list", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == ""


EXTRAS = {
    "datasets": ("data", ["data", "check", "hf:owner/name"]),
    "accelerate": ("train", ["train", "llamagen/digits", "--data", "digits"]),
}


@pytest.mark.parametrize("package", EXTRAS)
def test_a_missing_extra_is_named(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    real = importlib.import_module

    def without(name: str, *more: Any) -> ModuleType:
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *more)

    extra, words = EXTRAS[package]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib, "import_module", without)
    assert cli.main(words) == 2
    assert f"needs the package '{package}': pip install 'nextset[{extra}]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_json_is_alone_on_the_standard_output(capsys: Captured) -> None:
    assert cli.main(["data", "check", "digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 1797
