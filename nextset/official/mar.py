"""The official weights of MAR (Li et al. 2024, arXiv 2406.11838)."""

from __future__ import annotations

from dataclasses import replace

from ..backbones import MaskedAutoencoder
from ..conditions import Label
from ..errors import UsageError
from ..family import Arguments, Family, Published, hidden
from ..heads import Diffusion
from ..keymap import Joined, KeyMap, Squeezed
from ..mixers import BiasedAttention
from ..nn.diffusion import Even, Spacing, Strided
from ..nn.feedforward import MLP
from ..objectives import MaskedShare
from ..system import System
from ..systems.mar import mar
from ..tokenizers.base import Tokenizer
from . import kl_vae

_BLOCK = {
    "mixer_norm": "norm1",
    "mixer.qkv": "attn.qkv",
    "mixer.out": "attn.proj",
    "feedforward_norm": "norm2",
    "feedforward.rise": "mlp.fc1",
    "feedforward.fall": "mlp.fc2",
}

_LAYERS = {
    "wiring.embed": "z_proj",
    "backbone.input_norm": "z_proj_ln",
    "backbone.encoder_norm": "encoder_norm",
    "backbone.between": "decoder_embed",
    "backbone.decoder_norm": "decoder_norm",
    **{
        f"backbone.{side}.{{}}.{our}": f"{side}_blocks.{{}}.{their}"
        for side in ("encoder", "decoder")
        for our, their in _BLOCK.items()
    },
    "head.net.time.{}": "diffloss.net.time_embed.mlp.{}",
    "head.net.condition": "diffloss.net.cond_embed",
    "head.net.rise": "diffloss.net.input_proj",
    "head.net.blocks.{}.norm": "diffloss.net.res_blocks.{}.in_ln",
    "head.net.blocks.{}.rise": "diffloss.net.res_blocks.{}.mlp.0",
    "head.net.blocks.{}.fall": "diffloss.net.res_blocks.{}.mlp.2",
    "head.net.modulation.maps.{}": "diffloss.net.res_blocks.{}.adaLN_modulation.1",
    "head.net.end.map": "diffloss.net.final_layer.adaLN_modulation.1",
    "head.net.out": "diffloss.net.final_layer.linear",
}

_POSITIONS = {"encoder": "encoder", "decoder": "decoder", "site": "diffusion"}

KEYS = KeyMap(
    {
        "condition.embed.weight": Joined(("class_emb.weight", "fake_latent"), rows=(0, 1)),
        "wiring.mask": Squeezed("mask_token", (0, 1)),
        **{
            f"backbone.{ours}_positions": Squeezed(f"{theirs}_pos_embed_learned") for ours, theirs in _POSITIONS.items()
        },
        **{f"{our}.{kind}": f"{their}.{kind}" for our, their in _LAYERS.items() for kind in ("weight", "bias")},
    },
)


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """A size; the numbers of heads are not in the weights. Guidance and steps are those of most published sizes."""
    channels, sites = args.size("z_proj.weight", 1), args.size("diffusion_pos_embed_learned", 1)
    pictures = kl_vae.pictured(args, tokenizer, channels, sites)
    condition = Label(
        args.seen("class_num", args.size("class_emb.weight")),
        args.asked("label_drop_prob", 0.1),
        slots=args.seen("buffer_size", args.size("encoder_pos_embed_learned", 1) - sites),
    )
    head = Diffusion(
        args.seen("diffloss_w", args.size("diffloss.net.input_proj.weight")),
        args.seen("diffloss_d", args.count("diffloss.net.res_blocks.{}.in_ln.weight")),
        spacing(str(args.asked("num_sampling_steps", "100"))),
        args.asked("diffusion_batch_mul", 4),
    )
    stacks = backbone(args, condition.slots)
    assert isinstance(stacks.mixer, BiasedAttention)
    system = mar(
        stacks.dim, stacks.depth, stacks.mixer.heads, head, 3.0, min(256, sites), condition=condition, pictures=pictures
    )
    return replace(system, backbone=stacks, objective=MaskedShare(args.asked("mask_ratio_min", 0.7)))


def backbone(args: Arguments, slots: int) -> MaskedAutoencoder:
    """Encoder and decoder. Raises UsageError where they are not of the same width."""
    dim, wide = (args.size(f"{part}.weight") for part in ("z_proj", "decoder_embed"))
    if args.seen("encoder_embed_dim", dim) != args.seen("decoder_embed_dim", wide):
        raise UsageError(
            f"the encoder of {args.source} has width {dim}, its decoder {wide}; MaskedAutoencoder has one for both"
        )
    args.must("norm_layer", "partial(nn.LayerNorm, eps=1e-6)")
    dropout, weights = args.asked("proj_dropout", 0.1), args.asked("attn_dropout", 0.1)
    weights = None if weights == dropout else weights
    first, second = (
        BiasedAttention(args.asked(f"{part}_num_heads", hint="attention heads"), weights=weights)
        for part in ("encoder", "decoder")
    )
    depth, late = (
        args.seen(f"{part}_depth", args.count(f"{part}_blocks.{{}}.norm1.weight")) for part in ("encoder", "decoder")
    )
    mlp = MLP(hidden(args, "encoder_blocks.0.mlp.fc1.weight", dim), inner=dropout)
    return MaskedAutoencoder(
        dim,
        depth,
        first,
        slots,
        0 if late == depth else late,
        mlp,
        dropout=dropout,
        decoder_mixer=None if second == first else second,
    )


def spacing(setting: str) -> Spacing:
    """The official words for which levels are visited: "100", or "ddim25". Raises UsageError for others."""
    count = setting.removeprefix("ddim")
    if not count.isdecimal():
        raise UsageError(f"config: num_sampling_steps={setting!r} must be a number, such as '100', or 'ddim25'")
    return Strided(int(count)) if setting.startswith("ddim") else Even(int(count))


PUBLISHED = {
    size: Published(f"mar_{name}/checkpoint-last.pth", kl_vae.FILE, kl_vae.HOME)
    for size, name in (("b", "base"), ("l", "large"), ("h", "huge"))
}
FAMILY = Family(read, lambda spec: KEYS, kl_vae.CODER, PUBLISHED, wrapper="model_ema", licence="MIT")
