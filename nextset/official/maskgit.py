"""The official weights of MaskGIT (Chang et al. 2022, arXiv 2202.04200) in PyTorch: 1d-tokenizer's ImageBert and UViTBert.

What they generate are the tokens of TiTok (Yu et al. 2024, arXiv 2406.07550), or any other ids.
"""

from __future__ import annotations

from dataclasses import replace

from ..backbones import Backbone, Bert, UViT
from ..conditions import Label
from ..decode import Constant, CosineRamp, Guidance, Ramp
from ..decode.guidance import from_extra
from ..errors import UsageError
from ..family import Arguments, Family, Published
from ..heads import Categorical
from ..keymap import Cut, KeyMap, Made, Squeezed
from ..layout import Discrete
from ..mixers import BiasedAttention
from ..nn.feedforward import MLP
from ..objectives import MaskedTokens
from ..orders import Confidence
from ..system import System
from ..systems.maskgit import falling, maskgit
from ..tokenizers.base import Tokenizer
from . import titok

IDS = ("wiring.embed.weight", "wiring.mask", "condition.embed.weight")  # one table of theirs

_BERT_IDS = "model.embeddings.word_embeddings.weight"

_LAYER = "model.encoder.layer.{}"

KEYS = KeyMap(
    {
        "backbone.positions": "model.embeddings.position_embeddings.weight",
        "backbone.kinds": "model.embeddings.token_type_embeddings.weight",
        "backbone.norm.*": "model.embeddings.LayerNorm.*",
        "backbone.blocks.{}.mixer.qkv.*": tuple(f"{_LAYER}.attention.self.{p}.*" for p in ("query", "key", "value")),
        "backbone.blocks.{}.mixer.out.*": f"{_LAYER}.attention.output.dense.*",
        "backbone.blocks.{}.mixer_norm.*": f"{_LAYER}.attention.output.LayerNorm.*",
        "backbone.blocks.{}.feedforward.rise.*": f"{_LAYER}.intermediate.dense.*",
        "backbone.blocks.{}.feedforward.fall.*": f"{_LAYER}.output.dense.*",
        "backbone.blocks.{}.feedforward_norm.*": f"{_LAYER}.output.LayerNorm.*",
        "head.project.*": "model.lm_head.*",
    },
    (
        Cut(_BERT_IDS, tuple(zip(IDS, ("model.lm_head.weight", 0, None), strict=True))),
        Made("model.embeddings.position_ids"),
    ),
)

_PARTS = {"mixer_norm": "norm1", "mixer.qkv": "attn.qkv", "mixer.out": "attn.proj", "join": "skip_linear"}

_PARTS |= {"feedforward_norm": "norm2", "feedforward.rise": "mlp.fc1", "feedforward.fall": "mlp.fc2"}

_HALVES = {"rising.{}": "in_blocks.{}", "middle": "mid_block", "falling.{}": "out_blocks.{}"}

KEYS_UVIT = KeyMap(
    {f"backbone.{h}.{p}.*": f"{_HALVES[h]}.{_PARTS[p]}.*" for h in _HALVES for p in _PARTS}
    | {"backbone.norm.*": "norm.*", "head.project.*": "lm_head.*", "backbone.positions": Squeezed("pos_embed")},
    (Cut("embeddings.weight", tuple(zip(IDS, ("lm_head.weight", 0, None), strict=True))),),
)


def keys(system: System) -> KeyMap:
    """Those of its backbone."""
    return KEYS_UVIT if isinstance(system.backbone, UViT) else KEYS


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """A size of either layout; heads are not in the weights. Drawn as the config says, which the published ones do."""
    uvit = "pos_embed" in args
    args.seen("model_type", "UViT" if uvit else "ViT")
    logits, ids = ("lm_head.weight", "embeddings.weight") if uvit else ("model.lm_head.weight", _BERT_IDS)
    vocab, dim = (args.size(logits, axis) for axis in (0, 1))
    places = args.size("pos_embed", 1) if uvit else args.size("model.embeddings.position_embeddings.weight")
    sites = args.seen("image_seq_len", places - 1)  # the first place is that of the class
    coder = args.fitting(tokenizer, Discrete(args.seen("codebook_size", vocab)), line=sites)
    backbone = (_uvit if uvit else _bert)(args, args.seen("hidden_size", dim))
    system = maskgit(backbone, coder, _canvas(args, coder, sites), _order(args, sites), _guidance(args))
    classes = args.seen("condition_num_classes", args.size(ids) - vocab - 2)  # a mask, and "no class"
    return replace(
        system,
        condition=Label(classes, args.asked("class_label_dropout", 0.1)),
        head=Categorical(bias=True, std=0.02, smoothing=args.asked("label_smoothing", 0.1)),
        objective=MaskedTokens(seen=args.asked("loss_weight_unmasked_token", 0.1)),
    )


def _bert(args: Arguments, dim: int) -> Backbone:
    heads, dropout = args.asked("num_attention_heads", hint="attention heads"), args.asked("dropout", 0.1)
    args.must("attn_drop", dropout)
    depth = args.seen("num_hidden_layers", args.count(f"{_LAYER}.attention.self.query.weight"))
    wide = _feedforward(args, f"{_LAYER.format(0)}.intermediate.dense.weight", dim)
    return Bert(dim, depth, BiasedAttention(heads), wide, dropout)


def _uvit(args: Arguments, dim: int) -> Backbone:
    """Without dropout, whatever the config says. Of an odd number of layers one is not built."""
    heads = args.asked("num_attention_heads", hint="attention heads")
    depth = 2 * args.count("in_blocks.{}.attn.qkv.weight")
    args.seen("num_hidden_layers", depth + args.asked("num_hidden_layers", depth) % 2)
    wide = _feedforward(args, "mid_block.mlp.fc1.weight", dim)
    return UViT(dim, depth, BiasedAttention(heads, inner=False), wide)


def _feedforward(args: Arguments, key: str, dim: int) -> MLP:
    hidden = args.seen("intermediate_size", args.size(key))
    return MLP(0 if hidden == 4 * dim else hidden)


def _canvas(args: Arguments, coder: Tokenizer, sites: int) -> tuple[int, int]:
    """The images' size in pixels. Raises UsageError where the tokenizer makes another number of sites of it."""
    side = args.asked("crop_size", 256)
    found = coder.layout((side, side)).sites
    if found != sites:
        raise UsageError(
            f"the tokenizer makes {found} tokens of images of {side} x {side} pixels, but the generator in {args.source} has "
            f"{sites}; if its images are of another size, pass config={{'crop_size': ...}}"
        )
    return side, side


def _order(args: Arguments, sites: int) -> Confidence:
    order = falling(args.asked("randomize_temperature", 2.0), args.asked("num_steps", min(8, sites)))
    return order if args.asked("softmax_temperature_annealing", True) else replace(order, divisor=(1.0, 1.0))


def _guidance(args: Arguments) -> Guidance:
    scale, kind = args.asked("guidance_scale", 3.0), args.asked("guidance_decay", "constant")
    args.must("guidance_decay", "constant", "linear", "power-cosine")
    if kind == "power-cosine":
        return CosineRamp(scale, args.asked("guidance_scale_pow", 3.0))
    return Ramp(from_extra(scale)) if kind == "linear" else Constant(from_extra(scale))


HOME = "fun-research/TiTok"
PUBLISHED = {
    f"titok-{size}": Published(f"{HOME}:generator_titok_{file}.bin", f"{HOME}:tokenizer_titok_{file}.bin")
    for size, file in (("l-32", "l32"), ("b-64", "b64"), ("s-128", "s128"))
}
FAMILY = Family(read, keys, titok.CODER, PUBLISHED, licence="Apache-2.0")
