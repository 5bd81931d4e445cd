"""The official weights of MAR's KL-VAE (Li et al. 2024, arXiv 2406.11838), in the names of latent diffusion (arXiv 2112.10752)."""

from __future__ import annotations

from ..family import Arguments, Coder, Published, pixels
from ..keymap import KeyMap
from ..layout import Continuous
from ..tokenizers.base import Tokenizer
from ..tokenizers.kl_vae import KLVAE
from .conv_names import attended, nets, vqgan_names


def keys(spec: KLVAE) -> KeyMap:
    """Of a spec's weights."""
    between = {"moments.*": "quant_conv.*", "widen.*": "post_quant_conv.*"}
    return KeyMap({**vqgan_names(len(spec.multipliers)), **between})


def read(args: Arguments) -> KLVAE:
    """All is in the shapes but the number of normalisation groups and `latent_scale`, both constants of the official code."""
    args.must("use_variational", True)
    return KLVAE(
        dim=args.seen("embed_dim", args.size("post_quant_conv.weight")),
        attention=attended(args),
        scale=args.asked("latent_scale", 0.2325),
        **nets(args),
    )


def pictured(args: Arguments, tokenizer: Tokenizer | None, channels: int, sites: int) -> tuple[Tokenizer, int]:
    """The tokenizer of a generator of so many tokens of so many channels, and the pixels a side of its pictures.

    Tokens that are patches of several latents are known without a tokenizer only. Raises UsageError where the two do not fit.
    """
    if tokenizer is not None:
        args.must("patch_size", 1)
    patch = args.asked("patch_size", 1)
    args.seen("vae_embed_dim", channels // patch**2)
    coder = args.fitting(tokenizer, Continuous(channels), args.asked("vae_stride", 16) * patch)
    side = args.square("sites", sites)
    image = pixels(coder, side)
    args.seen("vae_stride", image // side // patch)
    return coder, args.seen("img_size", image)


HOME = "https://github.com/LTH14/mar"  # whose README and util/download.py say where files lie
FILE = "kl16.ckpt"
CODER = Coder(read, keys, {"16": KLVAE()}, {"16": Published(tokenizer=FILE, home=HOME)}, wrapper="model", licence="MIT")
