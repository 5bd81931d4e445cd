"""The KL-VAE: closed forms of its posterior, its scale, and what generators are trained on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nextset.errors import UsageError
from nextset.nn.posterior import Posterior
from nextset.tokenizers.kl_vae import KLVAE

SPEC = KLVAE(4, 8, (1, 2), blocks=1, groups=4, channels=1)
LAYOUT = SPEC.layout((8, 8))


def images(batch: int = 4) -> torch.Tensor:
    return torch.rand(batch, 1, 8, 8) * 2 - 1


def test_divergence_is_that_of_normal_distributions() -> None:
    moments = torch.randn(3, 8, 2, 2)
    posterior = Posterior.of(moments)
    ours = torch.distributions.Normal(posterior.mean, (0.5 * posterior.log).exp())
    expected = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0)).flatten(1).sum(1)
    torch.testing.assert_close(posterior.divergence(), expected, rtol=1e-5, atol=1e-5)


def test_what_is_drawn_lies_about_what_is_encoded() -> None:
    """Seeded; over many seeds its mean is `encode` and its deviation the posterior's, both scaled."""
    module, given = SPEC.build().eval(), images(2)
    assert torch.equal(module.drawn(given, LAYOUT, 3).data, module.drawn(given, LAYOUT, 3).data)
    draws = torch.stack([module.drawn(given, LAYOUT, seed).data for seed in range(400)])
    posterior = module.posterior(given)
    deviation = ((0.5 * posterior.log).exp() * SPEC.scale).flatten(2).transpose(1, 2)
    assert ((draws.mean(0) - module.encode(given).data).abs() < 5 * deviation / 20).all()
    torch.testing.assert_close(draws.std(0), deviation, rtol=0.25, atol=0)


def test_a_measured_scale_gives_unit_deviation() -> None:
    """It follows the latents in training only, and travels with the weights."""
    module = replace(SPEC, scale=None).build().train()
    given = images(16)
    with torch.no_grad():
        module.moments.weight.mul_(7)
        for _ in range(800):
            module.loss(given)
    drawn = module.eval().drawn(given, LAYOUT, 0).data
    assert abs(drawn.square().mean().sqrt() - 1) < 0.03
    before = module.moment.clone()
    module.loss(given)
    assert torch.equal(module.moment, before)
    assert "moment" in module.state_dict()
    assert "moment" not in SPEC.build().state_dict()


def test_scaling_is_undone() -> None:
    """Pictures do not depend on the scale."""
    torch.manual_seed(1)
    one = SPEC.build().eval()
    other = replace(SPEC, scale=3.0).build().eval()
    other.load_state_dict(one.state_dict())
    given = images()
    torch.testing.assert_close(other.decode(other.encode(given)), one.decode(one.encode(given)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"scale": 0.0}, {"beta": -1.0}, {"channels": 2}, {"multipliers": ()}, {"groups": 3}])
def test_impossible_specs_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(SPEC, **wrong)  # type: ignore[arg-type]
