"""The command line: `nextset COMMAND ...`. Each command is a dataclass whose fields are its options (tyro) and whose `run` does it.

Exit codes: 0 done, 1 failed, 2 wrong use, 128 + n stopped by signal n. Errors are one sentence; `--debug` shows the traceback.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from ..errors import NextsetError, UsageError, nearest

COMMANDS = {
    "list": ("catalogue", "List", "the systems, one a row"),
    "info": ("catalogue", "Info", "parameters, tokens, steps and arithmetic of a system or a checkpoint"),
    "diff": ("catalogue", "Diff", "what two systems decide differently"),
    "convert": ("convert", "Convert", "official checkpoints to a folder that describes itself, and back"),
    "train": ("train", "Train", "train a system on images"),
    "train-tokenizer": ("train", "TrainTokenizer", "train the tokenizer of a system on images"),
    "sample": ("sample", "Sample", "draw images with a checkpoint"),
    "edit": ("sample", "Edit", "redraw the masked part of an image"),
    "evaluate": ("judge", "Evaluate", "judge a checkpoint, or a folder of samples"),
    "evaluate-tokenizer": ("judge_tokenizer", "EvaluateTokenizer", "what tokenizers lose of pictures, detail and text"),
    "grade": ("grade", "Grade", "prompt score of a checkpoint or samples; what a tokenizer keeps legible"),
    "arena": ("arena", "Arena", "train systems on equal terms, judge them, write a report"),
    "compare-results": ("judge", "CompareResults", "differences of two evaluations of one protocol"),
    "data": ("data", "Data", "check: what a data set holds; encode: write a token cache"),
    "demo": ("demo", "Demo", "train on handwritten digits, draw new ones, judge them: two to three minutes"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if not words or words[0] in ("-h", "--help"):
        print(usage(), file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    if words[0] == "--version":
        from .. import __version__

        print(__version__)
        return 0
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn  # type: ignore[assignment]
            code = runner(words[0])(words[1:])
            sys.stdout.flush()  # a closed pipe says so here, not when Python ends
            return code
    except SystemExit as stop:  # the parser has told its help, or what is wrong with the options
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            raise
        return _tell(error)


def usage() -> str:
    """The table of commands."""
    rows = [f"  {name:<19} {told}" for name, (_, _, told) in COMMANDS.items()]
    first = "usage: nextset COMMAND [options]   (nextset COMMAND --help tells its options)"
    last = "  --version prints the version; with --debug a command that fails shows where"
    return "\n".join([first, "", *rows, "", last])


def runner(name: str) -> Any:
    """The function that runs a command on its words."""
    if name not in COMMANDS:
        raise UsageError(f"there is no command {name!r}{nearest(name, COMMANDS)}")
    module, cls, _ = COMMANDS[name]
    return getattr(importlib.import_module(f".{module}", __name__), cls).main


def _tell(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
        return 130
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    if isinstance(error, UsageError):
        print(f"nextset: {error}", file=sys.stderr)
        return 2
    known = isinstance(error, NextsetError | OSError)
    what = str(error) if known else f"{type(error).__name__}: {error} (a bug: run again with --debug and report it)"
    print(f"nextset: {what}", file=sys.stderr)
    return 1


def _warn(message: Warning | str, category: type[Warning], *_: Any) -> None:
    if issubclass(category, UserWarning):
        print(f"note: {message}", file=sys.stderr)
