"""Reference files: pictures, moments, both as ADM's files hold them, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nextset.data.digits import Digits
from nextset.errors import NextsetError, UsageError
from nextset.evaluate import Extractor, Moments, Protocol, Statistics, evaluate, load_samples, open_reference, save_npz
from nextset.evaluate.frechet import frechet


class Corners(Extractor):
    """Means of the quarters as features, the pixels of the first as spatial ones; classifies by the brightest quarter."""

    name, dim, channels, size, classes, spatial = "corners", 4, 1, (8, 8), 4, 16

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def _features(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images, 4).flatten(1)

    def _both(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self._features(images), images[:, 0, :4, :4].flatten(1)

    def _logits(self, features: Tensor) -> Tensor:
        return features * 10


def moments(features: Tensor) -> Moments:
    found = Moments(features.shape[1])
    found.add(features)
    return found


def adm_file(path: Path, images: Tensor, pictures: int) -> None:
    """Moments of all images, and some of them as pictures."""
    features, spatial = Corners().both(images)
    pixels = ((images[:pictures] + 1) * 127.5).round().byte().movedim(1, -1).numpy()
    known = {}
    for ending, of in (("", features), ("_s", spatial)):
        known |= {f"mu{ending}": of.double().mean(0).numpy(), f"sigma{ending}": of.double().T.cov().numpy()}
    np.savez(path, **({"arr_0": pixels} if pictures else {}), **known)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 256, (300, 1, 8, 8), generator=torch.Generator().manual_seed(3)).float() / 127.5 - 1


def test_a_file_of_both(tmp_path: Path, images: Tensor) -> None:
    adm_file(tmp_path / "ref.npz", images[:200], 50)
    save_npz(images[200:], tmp_path / "samples.npz")
    data, statistics = open_reference(tmp_path / "ref.npz")
    assert (len(data), data.shape, data.name, data[7].label) == (50, (8, 8, 1), "ref.npz", -1)
    assert statistics is not None
    metrics = ("frechet", "sfid", "precision-recall", "density-coverage", "inception-score", "kid")
    result = evaluate(
        Protocol(metrics=metrics, samples=100),
        data,
        sample=load_samples(tmp_path / "samples.npz"),
        extractor=Corners(),
        statistics=statistics,
    )
    real, drawn = Corners().both(images[:200]), Corners().both(images[200:])
    for name, a, b in zip(("frechet", "sfid"), real, drawn, strict=True):
        assert result.figures[name].value == pytest.approx(frechet(moments(a), moments(b)), rel=1e-5)
    assert set(result.figures) == {
        *("frechet", "sfid", "kid", "precision", "recall", "density", "coverage", "inception-score")
    }
    both = f"{statistics.features.identity}+{statistics.spatial.identity}"  # type: ignore[union-attr]
    assert result.protocol.statistics == both
    assert result.protocol.reference == 50


def test_spatial_distance_of_a_shift(tmp_path: Path, images: Tensor) -> None:
    """The same pictures, darker by one number in one corner: both distances are |shift|^2 summed over what moved."""
    images = images * 0.5
    moved = images.clone()
    moved[:, :, :4, :4] += 64 / 127.5
    save_npz(images, tmp_path / "a.npz")
    save_npz(moved, tmp_path / "b.npz")
    data, statistics = open_reference(tmp_path / "a.npz")
    assert statistics is None
    protocol = Protocol(metrics=("frechet", "sfid"), samples=300)
    result = evaluate(protocol, data, sample=load_samples(tmp_path / "b.npz"), extractor=Corners())
    assert result.figures["frechet"].value == pytest.approx((64 / 127.5) ** 2, abs=1e-3)  # 8-bit rounding of the halves
    assert result.figures["sfid"].value == pytest.approx(16 * (64 / 127.5) ** 2, abs=1e-2)
    same = evaluate(protocol, data, sample=load_samples(tmp_path / "a.npz"), extractor=Corners())
    assert max(figure.value for figure in same.figures.values()) < 1e-10


def test_pictures_with_labels_and_out_of_order(tmp_path: Path, images: Tensor) -> None:
    save_npz(images[:9], tmp_path / "x.npz", torch.arange(9))
    data, _ = open_reference(tmp_path / "x.npz")
    stack = data.stack(np.array([5, 2, 8]))
    assert stack.labels.tolist() == [5, 2, 8]
    assert np.array_equal(stack.images, np.stack([data[i].image for i in (5, 2, 8)]))


def test_wrong_files_are_named(tmp_path: Path, images: Tensor) -> None:
    adm_file(tmp_path / "moments.npz", images, 0)
    with pytest.raises(UsageError, match="holds moments and no pictures; give it as statistics"):
        open_reference(tmp_path / "moments.npz")
    with pytest.raises(UsageError, match="does not exist"):
        open_reference(tmp_path / "none.npz")
    np.savez(tmp_path / "half.npz", mu=np.zeros(4), sigma=np.eye(4), mu_s=np.zeros(2))
    with pytest.raises(UsageError, match="it has no mu_s and sigma_s"):
        Statistics.load(tmp_path / "half.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "moments.npz").read_bytes()[:300])
    with pytest.raises(NextsetError, match=r"cut\.npz is damaged"):
        Statistics.load(tmp_path / "cut.npz")
    np.save(tmp_path / "one.npy", np.zeros(4))
    with pytest.raises(UsageError, match="is one array; give an .npz"):
        Statistics.load(tmp_path / "one.npy")


def test_statistics_of_another_extractor_are_refused(images: Tensor) -> None:
    spatial = Statistics(spatial=moments(torch.rand(9, 5)))
    with pytest.raises(UsageError, match="of 5 features, extractor corners makes 16"):
        evaluate(
            Protocol(metrics=("sfid",), samples=20),
            Digits("test"),
            sample=lambda y, i: images[i : i + len(y)],
            extractor=Corners(),
            statistics=spatial,
        )
