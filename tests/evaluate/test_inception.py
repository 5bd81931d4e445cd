"""FID's Inception: keys and shapes of the published files, outputs of torch-fidelity's code, and what is said of wrong files.

The recorded numbers are outputs of torch-fidelity's `FeatureExtractorInceptionV3` (float32 on a CPU) with the weights of `drawn` for
the pictures of `pattern`; its hooks gave the spatial ones. Ours were equal to the last bit where both ran.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nextset.errors import NextsetError, UsageError
from nextset.evaluate import Extractor, inception
from nextset.evaluate.graphdef import constants
from nextset.evaluate.inception import FILES, VARIABLE, Inception, _names, resize

POOL_MEAN = [0.14075865380610963, 0.1432690930897929]
POOL = [[0.5089825391769409, 0.24230274558067322, 0.12482716143131256, 0.40711426734924316]]
POOL += [[0.5305618643760681, 0.24089576303958893, 0.1297776997089386, 0.4115961790084839]]
SPATIAL_MEAN = [0.18679933991929765, 0.19271371177646496]
SPATIAL = [[0.5585679411888123, 0.0, 0.19626972079277039], [0.6068811416625977, 0.0, 0.33114534616470337]]
LOGITS_SPREAD = [0.34005899815802204, 0.34728202831804617]
LOGITS = [[-0.22122260928153992, -0.022236980497837067, 0.09623119235038757, 0.1154322624206543]]
LOGITS += [[-0.22206027805805206, -0.032571665942668915, 0.09804418683052063, 0.08643276989459991]]


def drawn() -> dict[str, Tensor]:
    """Weights under the published names, drawn at random so that maps keep their size."""
    generator = torch.Generator().manual_seed(0)

    def draw(key: str, shape: torch.Size) -> Tensor:
        x = torch.randn(shape, generator=generator)
        if key.endswith("running_var"):
            return 1 + 0.2 * x.abs()
        if key.endswith("bn.weight"):
            return 1 + 0.1 * x
        return x * (2 / x[0].numel()) ** 0.5 if x.ndim >= 2 else 0.1 * x

    with torch.device("meta"):
        shapes = {key: value.shape for key, value in Inception().state_dict().items()}
    return {key: draw(key, shape) for key, shape in sorted(shapes.items())}


def pattern() -> Tensor:
    """Two uint8 pictures (2, 3, 40, 56)."""
    y, x = torch.meshgrid(torch.arange(40), torch.arange(56), indexing="ij")
    planes = [[(y * 7 + x * 3 + c * 50 + b * 90) * (1 + b) % 256 for c in range(3)] for b in range(2)]
    return torch.stack([torch.stack(plane) for plane in planes]).to(torch.uint8)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return drawn()


@pytest.fixture(scope="module")
def path(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def extractor(path: Path) -> Extractor:
    with pytest.warns(UserWarning, match="not the published file"):
        return inception(path)


def test_keys_and_shapes_are_those_of_the_published_file(state: dict[str, Tensor]) -> None:
    lines = "\n".join(f"{key}:{tuple(value.shape)}" for key, value in sorted(state.items()))
    assert (len(state), sum(value.numel() for value in state.values())) == (472, 23_885_392)
    digest = "954403df03f5a6d824cbccdc11f2b359003e906b126822a8a9a1afc4b6c8b849"  # of the same lines of torch-fidelity's network
    assert hashlib.sha256(lines.encode()).hexdigest() == digest


def test_outputs_are_those_of_torch_fidelity(extractor: Extractor) -> None:
    features, spatial = extractor.both(pattern().float() / 127.5 - 1)
    logits = extractor.logits(features)
    assert (features.shape, spatial.shape, logits.shape) == ((2, 2048), (2, 2023), (2, 1008))
    for found, expected in (
        (features.double().mean(1), POOL_MEAN),
        (features[:, ::512], POOL),
        (spatial.double().mean(1), SPATIAL_MEAN),
        (spatial[:, ::500][:, :3], SPATIAL),
        (logits.double().std(1), LOGITS_SPREAD),
        (logits[:, ::300], LOGITS),
    ):
        # float32 sums through 94 convolutions, in another order on another machine
        torch.testing.assert_close(found.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-4, atol=1e-5)
    assert torch.equal(features, extractor.features(pattern().float() / 127.5 - 1))


def test_pictures_are_rounded_to_eight_bits_and_grey_ones_are_taken(extractor: Extractor) -> None:
    images = pattern()[:1].float() / 127.5 - 1
    grey = images[:, :1]
    assert torch.equal(extractor.features(images), extractor.features(images + 0.4 / 127.5))
    assert torch.equal(extractor.features(grey), extractor.features(grey.expand(-1, 3, -1, -1)))
    with pytest.raises(UsageError, match=r"takes images \(B, 3"):
        extractor.features(images[:, :2])


def test_resizing_is_that_of_tensorflow_one() -> None:
    """Output i lies at i * size / side of the input, whose last pixel goes on to the right."""
    ramp = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 4, 4)
    assert resize(ramp, 8)[0, 0, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]  # centres aligned would begin 0, 0.25
    assert resize(ramp.mT, 8)[0, 0, :, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]
    assert resize(ramp, 2)[0, 0, 0].tolist() == [0, 2]  # nothing is averaged
    x = torch.rand(2, 3, 299, 299)
    assert torch.equal(resize(x, 299), x)


def test_weights_are_found(path: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(UsageError, match=f"not at hand: put {FILES[0]}.*{VARIABLE}"):
        inception()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "missing.pth"))
    with pytest.raises(UsageError, match=rf"no file .*missing.pth \(\${VARIABLE}\)"):
        inception()
    monkeypatch.delenv(VARIABLE)
    place = tmp_path / "torch" / "hub" / "checkpoints" / FILES[1]
    place.parent.mkdir(parents=True)
    place.symlink_to(path)
    with pytest.warns(UserWarning, match="not the published file"):
        assert inception().name == "inception-2015-12-05"


def test_wrong_files_are_named(path: Path, state: dict[str, Tensor], tmp_path: Path) -> None:
    cut = tmp_path / "cut.pth"
    cut.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(NextsetError, match=r"cut\.pth is damaged.*download it again"):
        inception(cut)
    lacking = {key: value for key, value in state.items() if not key.startswith("Mixed_7c.branch_pool")}
    torch.save(lacking, tmp_path / "lacking.pth")
    other = state | {"fc.weight": torch.zeros(1000, 2048), "AuxLogits.fc.bias": torch.zeros(3)}
    torch.save(other, tmp_path / "other.pth")
    for name, said in (
        ("lacking", r"5 missing \(Mixed_7c.branch_pool.bn.bias, .*give pt_inception-2015-12-05"),
        ("other", r"1 unexpected \(AuxLogits.fc.bias\); 1 misshapen \(fc.weight is \(1000, 2048\), not \(1008, 2048\)"),
    ):
        with pytest.raises(UsageError, match=said), pytest.warns(UserWarning, match="not the published"):
            inception(tmp_path / f"{name}.pth")


def test_counters_of_batch_normalisation_are_ignored(path: Path, state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(state | {"Conv2d_1a_3x3.bn.num_batches_tracked": torch.tensor(0)}, tmp_path / "counted.pth")
    with pytest.warns(UserWarning, match="not the published"):
        assert inception(tmp_path / "counted.pth").identity == inception(path).identity


# the frozen graph


def field(number: int, content: bytes | int) -> bytes:
    """One field of a protocol buffer: a whole number, or bytes."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def constant(name: str, tensor: Tensor) -> bytes:
    dims = b"".join(field(2, field(1, size)) for size in tensor.shape)
    value = field(1, 1) + field(2, dims) + field(4, tensor.contiguous().numpy().tobytes())
    entry = field(1, b"value") + field(2, field(8, value))
    return field(1, field(1, name.encode()) + field(2, b"Const") + field(5, entry))


def graph(state: dict[str, Tensor]) -> bytes:
    """The weights as TensorFlow's frozen graph holds them, between other nodes."""
    nodes = [field(1, field(1, b"ExpandDims") + field(2, b"ExpandDims"))]
    nodes.append(
        field(
            1, field(1, b"axis") + field(2, b"Const") + field(5, field(1, b"value") + field(2, field(8, field(1, 3))))
        )
    )
    parts = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    for here, there in _names():
        nodes.append(constant(f"{there}/conv2d_params", state[f"{here}.conv.weight"].permute(2, 3, 1, 0)))
        nodes += [constant(f"{there}/batchnorm/{old}", state[f"{here}.bn.{new}"]) for old, new in parts.items()]
    return b"".join(
        [*nodes, constant("softmax/weights", state["fc.weight"].T), constant("softmax/biases", state["fc.bias"])]
    )


def test_the_frozen_graph_is_read_without_tensorflow(
    extractor: Extractor, state: dict[str, Tensor], tmp_path: Path
) -> None:
    data = graph(state)
    (tmp_path / "whole.pb").write_bytes(data)
    (tmp_path / "cut.pb").write_bytes(data[:-1000])
    (tmp_path / "none.pb").write_bytes(field(1, field(1, b"x") + field(2, b"Relu")))
    (tmp_path / "other.pb").write_bytes(constant("w", torch.ones(2)))
    assert inception(tmp_path / "whole.pb").identity == extractor.identity
    with pytest.raises(NextsetError, match="cut short or no TensorFlow graph"):
        inception(tmp_path / "cut.pb")
    with pytest.raises(UsageError, match="a graph without weights"):
        inception(tmp_path / "none.pb")
    with pytest.raises(UsageError, match="no constant conv/conv2d_params"):
        inception(tmp_path / "other.pb")


def test_the_names_of_the_graph_are_its_own() -> None:
    """Some, as the conversion script of torch-fidelity lists them."""
    names = dict(_names())
    assert len(names) == 94
    assert names["Conv2d_4a_3x3"] == "conv_4"
    assert names["Mixed_5b.branch1x1"] == "mixed/conv"
    assert names["Mixed_6a.branch3x3"] == "mixed_3/conv"
    assert names["Mixed_6d.branch7x7dbl_5"] == "mixed_6/tower_1/conv_4"
    assert names["Mixed_7a.branch7x7x3_1"] == "mixed_8/tower_1/conv"
    assert names["Mixed_7b.branch3x3_2b"] == "mixed_9/tower/mixed/conv_1"
    assert names["Mixed_7c.branch_pool"] == "mixed_10/tower_2/conv"


def test_one_value_stands_for_a_whole_constant(tmp_path: Path) -> None:
    value = field(1, 1) + field(2, field(2, field(1, 3))) + field(5, torch.tensor([2.5]).numpy().tobytes())
    entry = field(1, b"value") + field(2, field(8, value))
    (tmp_path / "x.pb").write_bytes(field(1, field(1, b"c") + field(2, b"Const") + field(5, entry)))
    assert constants(tmp_path / "x.pb")["c"].tolist() == [2.5, 2.5, 2.5]
