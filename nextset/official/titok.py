"""The official weights of TiTok's tokenizers (Yu et al. 2024, arXiv 2406.07550), of all three forms."""

from __future__ import annotations

import math

import torch

from ..errors import UsageError
from ..family import UNSAID, Arguments, Coder, Published
from ..keymap import Fresh, KeyMap, Squeezed
from ..systems.maskgit import SIZES as GENERATORS
from ..tokenizers.base import Tokenizer
from ..tokenizers.maskgit_vq import MaskGITVQ
from ..tokenizers.proxy_titok import ProxyTiTok
from ..tokenizers.slotted import BASE, LARGE, SMALL, ViT
from ..tokenizers.titok import TiTok
from ..tokenizers.titok_vae import TiTokVAE
from .maskgit_vq import KEYS as BASE_KEYS

_PLACES = {
    "first": "class_embedding",
    "places": "positional_embedding",
    "slot_places": "latent_token_positional_embedding",
}
_TOWER = {
    "start.*": "ln_pre.*",
    "norm.*": "ln_post.*",
    "blocks.{}.mixer_norm.*": "transformer.{}.ln_1.*",
    "blocks.{}.mixer.qkv.weight": "transformer.{}.attn.in_proj_weight",
    "blocks.{}.mixer.qkv.bias": "transformer.{}.attn.in_proj_bias",
    "blocks.{}.mixer.out.*": "transformer.{}.attn.out_proj.*",
    "blocks.{}.feedforward_norm.*": "transformer.{}.ln_2.*",
    "blocks.{}.feedforward.rise.*": "transformer.{}.mlp.c_fc.*",
    "blocks.{}.feedforward.fall.*": "transformer.{}.mlp.c_proj.*",
}
_MAPS = {  # ours are linear, theirs 1x1 convolutions
    "narrow": "encoder.conv_out",
    "painter.rise": "decoder.ffn.0",
    "painter.fall": "decoder.ffn.2",
}

_NETS = ("encoder", "decoder")

KEYS = KeyMap(
    {
        **{f"{net}.{ours}": f"{net}.{theirs}" for net in _NETS for ours, theirs in _PLACES.items()},
        **{f"{net}.tower.{ours}": f"{net}.{theirs}" for net in _NETS for ours, theirs in _TOWER.items()},
        "encoder.embed.*": "encoder.patch_embed.*",
        "encoder.slots": "latent_tokens",
        "decoder.mask": Squeezed("decoder.mask_token"),
        "widen.*": "decoder.decoder_embed.*",
        "codebook.weight": "quantize.embedding.weight",
        **{f"{ours}.weight": Squeezed(f"{theirs}.weight", (2, 3)) for ours, theirs in _MAPS.items()},
        **{f"{ours}.bias": f"{theirs}.bias" for ours, theirs in _MAPS.items()},
        "painter.smooth.*": "decoder.conv_out.*",
        "painter.codes": "pixel_quantize.embedding.weight",
        **{f"painter.{k}": f"pixel_{v}" for k, v in BASE_KEYS.names.items() if k.startswith("decoder.")},
    },
    (
        Fresh("codebook.hits", "quantize.embedding.weight", lambda codes: codes.new_zeros(len(codes))),
        Fresh("codebook.batches", "quantize.embedding.weight", lambda codes: codes.new_zeros((), dtype=torch.int64)),
    ),
)

NAMES = {SMALL: "small", BASE: "base", LARGE: "large"}
HEADS = {vit.dim: vit.heads for vit in NAMES}
CODES, PIXEL_CODES = "quantize.embedding.weight", "pixel_quantize.embedding.weight"


def read(args: Arguments) -> Tokenizer:
    """The form shows in what tensors there are; numbers of heads only for published widths, and normalisation not at all."""
    coded, proxies = CODES in args, PIXEL_CODES in args
    if not proxies and "decoder.ffn.2.weight" in args:
        raise UsageError(
            f"{args.source} was saved after TiTok's first stage, which makes no pixels; give one of the second stage"
        )
    args.seen("quantize_mode", "vq" if coded else "vae")
    args.seen("is_legacy", proxies)
    args.seen("finetune_decoder", proxies)
    encoder, decoder, side = nets(args)
    sites = args.seen("num_latent_tokens", args.size("latent_tokens"))
    dim, channels = args.size("decoder.decoder_embed.weight", 1), args.size("encoder.patch_embed.weight", 1)
    args.seen("token_size", dim)
    if not coded:
        return TiTokVAE(sites, dim, side, encoder, decoder, channels)
    vocab, beta = args.seen("codebook_size", args.size(CODES)), args.asked("commitment_cost", 0.25)
    normalise = args.asked("use_l2_norm", hint="whether codes are compared on the unit sphere")
    if proxies:
        return ProxyTiTok(vocab, dim, sites, side, encoder, decoder, base(args), beta, normalise)
    return TiTok(vocab, dim, sites, side, encoder, decoder, channels, beta, normalise)


def nets(args: Arguments) -> tuple[ViT, ViT, int]:
    """Encoder, decoder, and pixels a side."""
    patch = args.seen("vit_enc_patch_size", args.size("encoder.patch_embed.weight", 2))
    side = args.seen("crop_size", patches(args, "encoder") * patch)
    other = args.seen("vit_dec_patch_size", side // patches(args, "decoder"))
    return vit(args, "encoder", patch), vit(args, "decoder", other), side


def patches(args: Arguments, net: str) -> int:
    """How many a side a net has places for, beside that of its first slot."""
    return math.isqrt(args.size(f"{net}.positional_embedding") - 1)


def vit(args: Arguments, net: str, patch: int) -> ViT:
    """One of the nets; its heads are asked for as `encoder.num_heads` or `decoder.num_heads` where its width was not published."""
    dim, depth = args.size(f"{net}.positional_embedding", 1), args.count(f"{net}.transformer.{{}}.ln_1.weight")
    heads = args.asked(f"{net}.num_heads", HEADS.get(dim, UNSAID), f"heads of the {net}")
    found = ViT(dim, depth, heads)
    if found in NAMES:
        args.seen(f"vit_{net[:3]}_model_size", NAMES[found])
    return ViT(dim, depth, heads, patch)


def base(args: Arguments) -> MaskGITVQ:
    """The tokenizer whose codes and decoder paint. A decoder shows only products of width and multipliers."""
    vocab, dim = (args.size(PIXEL_CODES, axis) for axis in (0, 1))
    first = "pixel_decoder.up.{}.block.0.conv1.weight"
    widths = [args.size(first.format(level)) for level in range(args.count(first))]
    width = math.gcd(*widths)
    return MaskGITVQ(
        vocab=vocab,
        dim=dim,
        width=width,
        multipliers=tuple(wide // width for wide in widths),
        blocks=args.count("pixel_decoder.up.0.block.{}.conv1.weight"),
        groups=args.asked(
            "num_groups", UNSAID if width % 32 else 32, "normalisation groups, 32 in the published files"
        ),
        channels=args.size("pixel_decoder.conv_out.weight"),
    )


HOME = "fun-research/TiTok"
FILES = {
    "l-32": "tokenizer_titok_l32",
    "b-64": "tokenizer_titok_b64",
    "s-128": "tokenizer_titok_s128",
    "bl-64-vq": "tokenizer_titok_bl64_vq8k",
    "bl-128-vq": "tokenizer_titok_bl128_vq8k",
    "sl-256-vq": "tokenizer_titok_sl256_vq8k",
    "ll-32-vae": "titok_ll32_vae_c16",
    "bl-64-vae": "titok_bl64_vae_c16",
    "bl-128-vae": "titok_bl128_vae_c16",
}
CODER = Coder(
    read,
    keys=lambda spec: KEYS,
    sizes={
        "l-32": GENERATORS["titok-l-32"].tokenizer,
        "b-64": GENERATORS["titok-b-64"].tokenizer,
        "s-128": GENERATORS["titok-s-128"].tokenizer,
        "bl-64-vq": TiTok(8192, 64, 64),
        "bl-128-vq": TiTok(8192, 64, 128),
        "sl-256-vq": TiTok(8192, 64, 256, encoder=SMALL),
        "ll-32-vae": TiTokVAE(32, encoder=LARGE),
        "bl-64-vae": TiTokVAE(64),
        "bl-128-vae": TiTokVAE(128),
    },
    published={size: Published(tokenizer=f"{HOME}:{file}.bin") for size, file in FILES.items()},
    licence="Apache-2.0",
)
