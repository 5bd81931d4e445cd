"""Ways of drawing that must change nothing, for every system of the catalogue: in company, and by models for inference."""

from __future__ import annotations

import pytest
import torch

from nextset import Engine, UsageError
from nextset.decode import Interval

from .toys import SYSTEMS, conditions, guidable, lively, random_images, same, tiny

pytestmark = pytest.mark.parametrize("name", SYSTEMS)


def test_reproducible_in_company(name: str) -> None:
    """Law 6: a sample is the same picture in a batch with others that came earlier or later and are guided otherwise."""
    model = lively(tiny(name))
    condition, scales = (
        conditions(model, 4),
        [2.0, 1.0, Interval(3.0, 1, 3), None] if guidable(model.system) else [None] * 4,
    )
    try:
        engine = Engine(model, rows=5)
    except UsageError as error:
        pytest.skip(f"an engine refuses it: {error}")
    found = {}
    for index, scale in enumerate(scales):
        engine.submit(condition[index : index + 1], seed=7, first=index, guidance=scale)
        found |= engine.step()
    found |= engine.run()
    for index, scale in enumerate(scales):
        expected = model.generate(condition[index : index + 1], seed=7, first=index, guidance=scale)
        assert same(model, found[index].images(), expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_for_inference(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer packed, a model for inference draws what the model draws, to the bit in float32, and leaves that as it is; in few bits nearly so."""
    monkeypatch.setattr("nextset.inference.WORTH", 0)
    model = lively(tiny(name))
    condition = conditions(model, 3)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    expected = model.generate(condition, seed=5)
    fast = model.for_inference(dtype=dtype)
    drawn = fast.generate(condition, seed=5)
    if dtype == "float32":
        assert same(model, drawn, expected)
    else:
        images = random_images(model, 3)
        torch.manual_seed(0)
        exact = model.eval().loss(images, condition)["loss"].item()
        torch.manual_seed(0)
        assert abs(fast.loss(images, condition)["loss"].item() - exact) < 0.05 * exact  # as in `test_bfloat16`
        assert drawn.isfinite().all()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert torch.equal(model.generate(condition, seed=5), expected)
    for refused in (lambda: fast.train(), lambda: fast.save_pretrained("nowhere"), lambda: fast.for_inference()):
        with pytest.raises(UsageError, match="for_inference"):
            refused()
