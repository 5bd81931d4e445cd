"""The figures of a contest side by side: which there are, how they are written, which is best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .entry import Entry
from .interval import Interval


@dataclass(frozen=True)
class Column:
    """A figure in the table: its name, its heading, how a number is written ("": in thousands, millions, ...), which way is better, what
    it means."""

    name: str
    heading: str
    form: str
    less_is_better: bool | None
    told: str

    def number(self, entry: Entry) -> Interval | None:
        """The figure of an entry."""
        return entry.interval(self.name)

    def text(self, entry: Entry) -> str:
        """The figure as written: a mean, with its interval where there are several seeds and they differ; "-" where there is none."""
        found = self.number(entry)
        if found is None:
            return "-"
        middle, low, high = map(self.written, (found.mean, found.low, found.high))
        if low == high:
            return middle
        if found.count == 2:
            return f"{middle} ({low} to {high})"
        return f"{middle} +- {self.written(found.high - found.mean)}"

    def written(self, value: float) -> str:
        """One number."""
        return self.form.format(value) if self.form else large(value)


def large(value: float) -> str:
    """Three digits and a letter: 12.4 M, 3.64 T."""
    size, letter = next(((s, u) for s, u in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")) if value >= s), (1.0, ""))
    return f"{value / size:.3g} {letter}".rstrip()


COLUMNS = (
    Column("bits", "bits/dim", "{:.3f}", True, "bits a channel value of held-out pictures, where tokens are pixels"),
    Column("bits_a_token", "bits/token", "{:.3f}", None, "bits a token of held-out pictures, where tokens are learned"),
    Column(
        "frechet",
        "Frechet",
        "{:.2f}",
        True,
        "Frechet distance of drawn to held-out pictures under the classifier's features",
    ),
    Column("accuracy", "accuracy", "{:.1%}", False, "drawn pictures that the classifier takes for the class asked for"),
    Column("grade/all", "grade", "{:.1%}", False, "drawn pictures that show everything their caption says"),
    Column(
        "prompt/overall",
        "prompts",
        "{:.1%}",
        False,
        "mean of six categories of prompts, read back by the grader of shapes",
    ),
    Column("precision", "precision", "{:.2f}", False, "share of drawn pictures among the held-out ones"),
    Column("recall", "recall", "{:.2f}", False, "share of held-out pictures among the drawn ones"),
    Column(
        "guidance",
        "guidance",
        "{:.3g}",
        None,
        "scale of the guidance, chosen by the Frechet distance of other drawn pictures",
    ),
    Column("steps", "steps", "{:.0f}", True, "steps of drawing a picture"),
    Column(
        "seconds_an_image", "s/image in 100", "{:.4f}", True, "seconds a picture in a batch of 100, guided as chosen"
    ),
    Column("seconds_alone", "s/image alone", "{:.3f}", True, "seconds of one picture alone, guided as chosen"),
    Column("multiply_adds", "MACs/image", "", True, "multiply-adds of drawing and decoding a picture, unguided"),
    Column("parameters", "parameters", "", None, "of the network"),
    Column("tokenizer_parameters", "of tokenizer", "", None, "parameters of a learned tokenizer, trained beforehand"),
    Column("train_steps", "train steps", "{:.0f}", None, "training steps that the budget was enough for"),
    Column("train_multiply_adds", "train MACs", "", None, "multiply-adds of the training, forward and backward"),
    Column("train_seconds", "train s", "{:.0f}", None, "seconds of training the network, while other runs went on"),
    Column("tokenizer_seconds", "tokenizer s", "{:.0f}", None, "seconds of training the tokenizer"),
)


def present(entries: Sequence[Entry]) -> list[Column]:
    """The columns in which somebody has a figure."""
    return [column for column in COLUMNS if any(column.number(entry) for entry in entries)]


def table(entries: Sequence[Entry]) -> list[list[str]]:
    """Rows of text, a heading first; where something failed the last cell says what."""
    columns = present(entries)
    failed = any(entry.failed for entry in entries)
    rows = [["system", *(column.heading for column in columns), *(["failed"] if failed else [])]]
    for entry in entries:
        rows.append([entry.name, *(column.text(entry) for column in columns), *([entry.failed] if failed else [])])
    return rows


def best(column: Column, entries: Sequence[Entry]) -> float | None:
    """The best mean of a column, as it is written; None where no way is better."""
    means = [found.mean for entry in entries if (found := column.number(entry))]
    if column.less_is_better is None or not means:
        return None
    return min(means) if column.less_is_better else max(means)
