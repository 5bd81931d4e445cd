"""What a job says, and which process draws what."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from nextset import Model, Pick, UsageError
from nextset.decode import Constant, PowerCosine
from nextset.sampling import Job, Share, identity, words
from tests.laws.toys import lively, tiny


def test_classes_take_turns(job_of: Callable[..., Job]) -> None:
    job = job_of(classes=(7, 2), count=5)
    labels = job.labels(range(1, 5))
    assert labels is not None
    assert labels.tolist() == [2, 7, 2, 7]
    assert job_of(classes=()).labels(range(3)) is None
    even = job_of(classes=tuple(range(10)), count=500).labels(range(500))
    assert even is not None
    assert even.bincount().tolist() == [50] * 10


def test_a_job_survives_json(job_of: Callable[..., Job]) -> None:
    job = job_of(guidance=PowerCosine(4.0, 2.75), pick=Pick(0.9, 50, 0.95))
    assert Job.from_dict(job.to_dict()) == job
    with pytest.raises(UsageError, match="count must be at least 1, got 0"):
        job_of(count=0)


def test_identity_is_of_weights_and_system(model: Model) -> None:
    same, other = lively(model.system), lively(model.system)
    assert identity(model) == identity(same)
    with torch.no_grad():
        next(other.network.parameters()).view(-1)[0] += 1e-3
    assert identity(model) != identity(other)
    assert identity(model) != identity(lively(replace(tiny("llamagen"), pick=Pick(0.5))))


def test_equal_settings_have_equal_words() -> None:
    assert words(Constant(4)) == words(Constant(4.0)) == "Constant(scale=4)"
    assert words(Pick()) == "Pick(temperature=1, top_k=0, top_p=1)"
    assert words(PowerCosine(1.5, 2.75)) != words(PowerCosine(1.5, 2.74999))


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("batch", [1, 4, 7, 100])
def test_shares_partition_what_is_missing(world: int, batch: int) -> None:
    missing = [i for i in range(50) if i % 11 and not 20 <= i < 29]
    runs = [Share(rank, world).runs(missing, batch) for rank in range(world)]
    assert sorted(i for i in itertools.chain(*itertools.chain(*runs))) == missing
    assert max(len(run) for run in itertools.chain(*runs)) <= batch


def test_a_share_does_not_depend_on_what_others_did() -> None:
    everything, later = Share(1, 3).own(range(40), 4), Share(1, 3).own(range(9, 40), 4)
    assert [i for i in everything if i >= 9] == later


def test_the_environment_says_the_share() -> None:
    assert Share.from_environment({}) == Share(0, 1, 0)
    assert Share.from_environment({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == Share(5, 8, 1)
    for wrong in ({"RANK": "3", "WORLD_SIZE": "3"}, {"RANK": "one"}):
        with pytest.raises(UsageError, match="RANK"):
            Share.from_environment(wrong)
    with pytest.raises(UsageError, match="batch must be at least 1"):
        Share().runs([0], 0)
