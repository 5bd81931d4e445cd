"""AiM as its repository draws, where the kernels of Mamba are not at hand: one slot at a time through Mamba-2 in torch, with the last
inputs of the convolution shifted by `roll`, an outer product into the state, and AdaLN of the class computed in every step.

Legend: B batch, D width, E inner width, H heads, P channels of a head, S state size, w width of the convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextset.backbones import Transformer
from nextset.conditions import Label
from nextset.errors import UsageError
from nextset.mixers import Mamba2
from nextset.nn.modulation import Each, Grouped
from nextset.system import Network

from .llamagen import PlainNorm, below, linear

EPS = 1e-5


class PlainMamba(nn.Module):
    """One step of Mamba-2 with its two states."""

    def __init__(self, weights: dict[str, Tensor], spec: Mamba2) -> None:
        super().__init__()
        self.width, self.state = spec.head_dim, spec.state_dim
        self.in_proj, self.out_proj = linear(weights, "rise"), linear(weights, "out")
        self.kernel, self.bias = weights["conv.weight"][:, 0], weights["conv.bias"]
        self.dt_bias, self.log_decay, self.skip = weights["step_bias"], weights["log_decay"], weights["skip"]
        self.norm = PlainNorm(weights["norm.weight"], EPS)
        self.heads = len(self.skip)

    def reset(self, batch: int) -> None:
        """Zeros."""
        self.inputs = torch.zeros(batch, *self.kernel.shape)
        self.memory = torch.zeros(batch, self.heads, self.width, self.state)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) to (B, D)."""
        inner = self.heads * self.width
        z, mixed, dt = self.in_proj(x).split([inner, inner + 2 * self.state, self.heads], dim=-1)
        self.inputs.copy_(torch.roll(self.inputs, shifts=-1, dims=-1))
        self.inputs[:, :, -1] = mixed
        mixed = F.silu((self.inputs * self.kernel).sum(-1) + self.bias)
        values, b, c = mixed.split([inner, self.state, self.state], dim=-1)
        decay, dt = -self.log_decay.float().exp(), F.softplus(dt + self.dt_bias)
        values = values.view(len(x), self.heads, self.width)
        added = torch.einsum("bh,bn,bhp->bhpn", dt, b, values)
        self.memory.copy_(self.memory * torch.exp(dt * decay)[..., None, None] + added)
        y = torch.einsum("bhpn,bn->bhp", self.memory, c) + self.skip[:, None] * values
        return self.out_proj(self.norm(y.flatten(1) * F.silu(z)))


class PlainBlock(nn.Module):
    """A norm and a mixer; what AdaLN does to them comes from outside, or from a map of its own."""

    def __init__(self, weights: dict[str, Tensor], spec: Mamba2, own: nn.Linear | None, table: Tensor | None) -> None:
        super().__init__()
        self.norm, self.mixer = PlainNorm(weights["mixer_norm.weight"], EPS), PlainMamba(below(weights, "mixer."), spec)
        self.own, self.table = own, torch.zeros(()) if table is None else table

    def forward(self, hidden: Tensor, residual: Tensor | None, vector: Tensor) -> tuple[Tensor, Tensor]:
        """What the mixer gives, and the stream without it, each (B, D); `vector` (B, D), or (B, 3 D) of a group's map."""
        residual = hidden if residual is None else hidden + residual
        found = self.own(F.silu(vector)) if self.own is not None else vector + self.table
        shift, scale, gate = found.chunk(3, dim=-1)
        return gate * self.mixer(self.norm(residual) * (1 + scale) + shift), residual


class PlainAim(nn.Module):
    """Tokens with positions, blocks, two norms, and logits by the table of tokens."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        system, spec = network.system, network.system.backbone
        if not (
            isinstance(spec, Transformer)
            and isinstance(spec.mixer, Mamba2)
            and isinstance(spec.modulation, Each | Grouped)
            and isinstance(system.condition, Label)
        ):
            raise UsageError(f"{system}: the plain contestant is a class-conditional AiM")
        weights, self.sites = network.state_dict(), network.layout.sites
        own = below(weights, "backbone.")
        self.classes, self.positions = system.condition.classes, own["positions"]
        self.class_table = nn.Embedding.from_pretrained(weights["condition.embed.weight"])
        self.table = nn.Embedding.from_pretrained(weights["wiring.embed.weight"])
        self.groups = spec.modulation.groups if isinstance(spec.modulation, Grouped) else 0
        self.map = linear(own, "modulation.map") if self.groups else None
        self.blocks = nn.ModuleList(
            PlainBlock(
                below(own, f"blocks.{i}."),
                spec.mixer,
                None if self.groups else linear(own, f"modulation.maps.{i}"),
                own["modulation.tables"][i] if self.groups else None,
            )
            for i in range(spec.depth)
        )
        self.norms = nn.ModuleList(PlainNorm(own[f"norm.norm.{i}.weight"], EPS) for i in range(2))
        self.last_map = linear(own, "norm.map")

    def logits(self, x: Tensor, classes: Tensor) -> Tensor:
        """(B, V) after one more slot (B, D), under class vectors (B, D)."""
        parts = self.map(F.silu(classes)).chunk(self.groups, dim=-1) if self.map is not None else (classes,)
        residual: Tensor | None = None
        for index, block in enumerate(self.blocks):
            x, residual = block(x, residual, parts[index % len(parts)])
        x = self.norms[1](self.norms[0](x if residual is None else x + residual))
        shift, scale = self.last_map(F.silu(classes)).chunk(2, dim=-1)
        return F.linear(x * (1 + scale) + shift, self.table.weight)

    @torch.no_grad()
    def generate(self, labels: Tensor, scale: float, steps: int | None = None) -> Tensor:
        """The likeliest tokens (B, N) one after the other, guided by u + scale (c - u); after so many `steps` zeros."""
        for module in self.modules():
            if isinstance(module, PlainMamba):
                module.reset(2 * len(labels))
        condition = torch.cat([labels, torch.full_like(labels, self.classes)])
        drawn: list[Tensor] = []
        for step in range(self.sites)[:steps]:
            classes = self.class_table(condition)
            # the last row is that of slots without a site
            x = self.table(torch.cat([drawn[-1]] * 2)) + self.positions[step - 1] if step else classes
            x = x if step else x + self.positions[-1]
            conditional, unconditional = self.logits(x, classes).chunk(2)
            drawn.append((unconditional + (conditional - unconditional) * scale).argmax(-1))
        return F.pad(torch.stack(drawn, 1), (0, self.sites - len(drawn)))
