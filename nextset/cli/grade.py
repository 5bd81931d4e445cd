"""`nextset grade`: the world of shapes read back, as a prompt score or as what a tokenizer keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from ..data.open import open_dataset
from ..data.shapes import Shapes
from ..errors import UsageError
from ..evaluate import Protocol, legibility, prompt_list, prompt_score
from ..files import save_json
from ..pretrained import load_tokenizer
from ..sampling.output import check_writable
from . import command
from .command import Json
from .drawing import Drawing
from .judge import opened
from .subject import Subject, size_words

PROMPTS = "prompts"


@dataclass(frozen=True)
class Grade:
    """Grade pictures of shapes: GenEval's six categories of prompts, drawn by a checkpoint that takes captions, or lying in files.

    `nextset grade prompts` prints the captions, in the order in which files are expected. With --reconstructions it is the
    tokenizer (of a tokenizer's or a model's folder) that is graded: how much of the test pictures can be read after it.
    """

    count: int | None = None
    """Prompts of each category (100 unless given), or pictures to reconstruct (1000)."""
    prompts: int = 0
    """Seed of the prompts."""
    reconstructions: bool = False
    """Grade what the tokenizer gives back."""
    data: str = "shapes"
    """The world whose test pictures are reconstructed: shapes, shapes-64, shapes(letters=5), ..."""
    out: Path | None = None
    """Also write the result, as JSON."""
    drawing: tyro.conf.OmitArgPrefixes[Drawing] = Drawing()
    json: Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Runs the command on its words."""
        example = "nextset grade runs/shapes, nextset grade runs/vq --reconstructions, or nextset grade prompts"
        source, rest = command.positional(words, "checkpoint, samples or tokenizer", example)
        if source in ("-h", "--help"):
            source, rest = "", [source]
        return command.parse(cls, "grade CHECKPOINT_OR_SAMPLES_OR_TOKENIZER", rest).run(source)

    def run(self, source: str) -> int:
        """Grades, and says and writes the figures."""
        self.drawing.check()
        if self.count is not None and self.count < 1:
            raise UsageError(f"count must be at least 1, got {self.count}")
        if self.out is not None:
            check_writable(self.out)
        if source == PROMPTS:
            listed = prompt_list(self.count or 100, self.prompts)
            return self._say([dataclasses.asdict(Asked(*one)) for one in listed], "\n".join(c for _, c in listed))
        return self._reconstructed(source) if self.reconstructions else self._prompted(source)

    def _prompted(self, source: str) -> int:
        subject = opened(source, self.drawing)
        if subject.shape[2] != 3 or subject.shape[0] != subject.shape[1]:
            raise UsageError(f"{subject} has {size_words(subject.shape)} pictures, the grader reads square RGB ones")
        if subject.captioned is False:
            raise UsageError(f"{subject} takes no captions, so there is no prompt to follow; try nextset evaluate")
        subject.place()
        result = prompt_score(
            subject.sampler, self.count or 100, self.prompts, self.drawing.batch, self._protocol(subject)
        )
        result = dataclasses.replace(result, metadata=subject.about)
        return self._say(result.to_dict(), str(result))

    def _protocol(self, subject: Subject) -> Protocol:
        settings = subject.settings(Shapes("test", max(subject.shape[0], 16)), None)
        return Protocol(metrics=("grade",), **settings | {"condition": "caption", "balance": "data"})

    def _reconstructed(self, source: str) -> int:
        spec, tokenizer = load_tokenizer(source)
        if spec.channels != 3:
            raise UsageError(f"the tokenizer of {source} is for {spec.channels} channel, the pictures of shapes have 3")
        data = open_dataset(self.data, "test")
        if not isinstance(data, Shapes):
            raise UsageError(f"data must be of shapes, which the grader reads; got {self.data!r}")
        spec.layout((data.size, data.size))  # says what does not fit
        tokenizer.to(command.device(self.drawing.device))
        found = legibility(tokenizer, data, self.count or 1000, self.drawing.batch)
        return self._say(dataclasses.asdict(found) | {"tokenizer": str(spec)}, str(found))

    def _say(self, data: object, text: str) -> int:
        if self.out is not None:
            save_json(self.out, data)
        command.say(self.json, data, text)
        return 0


@dataclass(frozen=True)
class Asked:
    """One picture that is asked for."""

    category: str
    caption: str
