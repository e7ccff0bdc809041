"""AutoFormer's vision transformer as an ordinary network: what a subnet is once it is cut out.

Source: Chen et al., 2021, https://arxiv.org/abs/2107.00651. The weights have the names and shapes
of the original (https://github.com/microsoft/Cream).
Shapes: N = images, T = tokens, E = embedding, H = heads, D = width of a head, G = grid positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.autoformer.costs import HEAD_DIM, MAX_DISTANCE, TABLE_ROWS
from collm_nas.spaces.autoformer.space import AutoFormer, shape_of

DROP_PATH = 0.1  # in the last layer of the supernet; a subnet with fewer layers never reaches it
INIT_STD = 0.02
ALIGNMENT = 8  # fused attention on GPUs takes widths that are multiples of it


class PatchGrid(nn.Module):
    """Where the tokens of a square image are: the class token first, then patches row by row.

    A grid position is a row of patches, a column of patches, or the class token's place; after
    these come spare ones, on which no token lies. A pair of patches is related by the distance of
    their rows and that of their columns.
    """

    rows_TG: Tensor  # which row of the vertical table relates a token to each row of patches
    columns_TG: Tensor  # the same for the horizontal table and each column
    membership_TG: Tensor  # whether a token lies on a grid position

    def __init__(self, side: int) -> None:
        super().__init__()
        line = torch.arange(side)
        steps = (line[None] - line[:, None]).clamp(-MAX_DISTANCE, MAX_DISTANCE) + MAX_DISTANCE + 1
        row, column = line.repeat_interleave(side), line.repeat(side)
        class_token = torch.zeros(1, side, dtype=torch.long)
        self.register_buffer("rows_TG", torch.cat([class_token, steps[row]]), persistent=False)
        self.register_buffer(
            "columns_TG", torch.cat([class_token, steps[column]]), persistent=False
        )
        lines = torch.cat([F.one_hot(row, side), F.one_hot(column, side)], dim=1)
        spare = -(HEAD_DIM + 2 * side + 1) % ALIGNMENT
        membership = F.pad(lines, (0, 1 + spare, 1, 0))
        membership[0, 2 * side] = 1
        self.register_buffer("membership_TG", membership.bool(), persistent=False)


class RelativePositions(nn.Module):
    """The embeddings of the relative positions of a layer, for its keys or for its values."""

    def __init__(self, device: torch.device | str | None) -> None:
        super().__init__()
        table = torch.empty(TABLE_ROWS, HEAD_DIM, device=device)
        self.embeddings_table_v = nn.Parameter(table)
        self.embeddings_table_h = nn.Parameter(torch.empty_like(table))

    def forward(self, grid: PatchGrid) -> Tensor:
        """Relate every token to every grid position; return (T, G, D)."""
        v_RD, h_RD = self.embeddings_table_v, self.embeddings_table_h
        rows, columns = v_RD[grid.rows_TG], h_RD[grid.columns_TG]
        tokens, positions = grid.membership_TG.shape
        left = positions - rows.shape[1] - columns.shape[1]
        class_token = (v_RD[0] + h_RD[0]).expand(tokens, left, HEAD_DIM)
        return torch.cat([rows, columns, class_token], dim=1)


class Attention(nn.Module):
    """Self-attention with relative positions on keys and values.

    By definition the logit of tokens i and j is `q_i · (k_j + R_ij)`, and the output of token i is
    the mean of `v_j + S_ij`. But R and S are sums of a row and a column term, so that the logits
    need `q_i · R` for some 2 sqrt(T) grid positions only, and the output the attention that
    each of them gets. Both are had by longer queries, keys and values, which fused attention
    takes as they are: the same result with fewer multiply-adds, and no T x T x D tensor.
    """

    def __init__(self, embed_dim: int, num_heads: int, device: torch.device | str | None) -> None:
        super().__init__()
        width = HEAD_DIM * num_heads
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dim, 3 * width, device=device)
        self.rel_pos_embed_k = RelativePositions(device)
        self.rel_pos_embed_v = RelativePositions(device)
        self.proj = nn.Linear(width, embed_dim, device=device)

    def forward(self, x_NTE: Tensor, grid: PatchGrid) -> Tensor:
        """Return the update of the tokens, in the shape of `x_NTE`."""
        qkv = self.qkv(x_NTE).unflatten(-1, (3, self.num_heads, HEAD_DIM))
        q_NHTD, k_NHTD, v_NHTD = qkv.permute(2, 0, 3, 1, 4)
        q_NHTG = torch.einsum("nhtd,tgd->nhtg", q_NHTD, self.rel_pos_embed_k(grid))
        on_NHTG = grid.membership_TG.to(q_NHTD.dtype).expand_as(q_NHTG)
        out = F.scaled_dot_product_attention(
            torch.cat([q_NHTD, q_NHTG], dim=-1),
            torch.cat([k_NHTD, on_NHTG], dim=-1),
            torch.cat([v_NHTD, on_NHTG], dim=-1),
            scale=HEAD_DIM**-0.5,
        )
        out_NHTD, attention_NHTG = out[..., :HEAD_DIM], out[..., HEAD_DIM:]
        positions = torch.einsum("nhtg,tgd->nhtd", attention_NHTG, self.rel_pos_embed_v(grid))
        update: Tensor = self.proj((out_NHTD + positions).transpose(1, 2).flatten(2))
        return update


class DropPath(nn.Module):
    """In training, leave out what enters for some of the images (Huang et al., 2016).

    https://arxiv.org/abs/1603.09382. The draws are torch's own, as in any dropout.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x_NTE: Tensor) -> Tensor:
        """Return `x_NTE` with some images zeroed and the others scaled up."""
        if not self.training or self.rate == 0:
            return x_NTE
        keep = x_NTE.new_empty(len(x_NTE), 1, 1).bernoulli_(1 - self.rate)
        return x_NTE * keep / (1 - self.rate)


class Layer(nn.Module):
    """Attention, then an MLP; each behind a layer norm, with a shortcut around it."""

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        mlp_dim: int,
        drop_path: float,
        device: torch.device | str | None,
    ) -> None:
        super().__init__()
        self.attn_layer_norm = nn.LayerNorm(embed_dim, device=device)
        self.attn = Attention(embed_dim, num_heads, device)
        self.ffn_layer_norm = nn.LayerNorm(embed_dim, device=device)
        self.fc1 = nn.Linear(embed_dim, mlp_dim, device=device)
        self.fc2 = nn.Linear(mlp_dim, embed_dim, device=device)
        self.drop_path = DropPath(drop_path)

    def forward(self, x_NTE: Tensor, grid: PatchGrid) -> Tensor:
        """Return the tokens after this layer."""
        x_NTE = x_NTE + self.drop_path(self.attn(self.attn_layer_norm(x_NTE), grid))
        widened = self.fc1(self.ffn_layer_norm(x_NTE))
        single = torch.promote_types(widened.dtype, torch.float32)  # also under autocast: original
        hidden = F.gelu(widened.to(single)).to(widened.dtype)
        tokens: Tensor = x_NTE + self.drop_path(self.fc2(hidden))
        return tokens


class PatchEmbedding(nn.Module):
    """Turn every patch of an image into a token."""

    def __init__(self, patch_size: int, embed_dim: int, device: torch.device | str | None) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, patch_size, stride=patch_size, device=device)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, patches, E)."""
        patches: Tensor = self.proj(images).flatten(2).transpose(1, 2)
        return patches


class VisionTransformer(nn.Module):
    """The network of one architecture, with weights of its own.

    Args:
        space: fixes what architectures have in common.
        arch: the widths; also `space.full`, which is none of the space.
        grid: shared by the networks of a space, it holds no weights.
        device: "meta" for a network whose weights will come from elsewhere.
    """

    def __init__(
        self,
        space: AutoFormer,
        arch: Architecture,
        grid: PatchGrid,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        embed_dim, num_heads, mlp_ratios = shape_of(arch)
        tokens = len(grid.rows_TG)
        self.side = space.side
        self.grid = grid
        self.patch_embed_super = PatchEmbedding(space.patch_size, embed_dim, device)
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim, device=device))
        self.pos_embed = nn.Parameter(torch.empty(1, tokens, embed_dim, device=device))
        deepest = max(space.choices.depth)
        self.blocks = nn.ModuleList(
            Layer(
                embed_dim,
                heads,
                int(embed_dim * ratio),
                DROP_PATH * i / max(1, deepest - 1),
                device,
            )
            for i, (heads, ratio) in enumerate(zip(num_heads, mlp_ratios, strict=True))
        )
        self.norm = nn.LayerNorm(embed_dim, device=device)
        self.head = nn.Linear(embed_dim, space.num_classes, device=device)

    def forward(self, images: Tensor) -> Tensor:
        """Classify `images` (N, 3, side, side); return logits (N, classes)."""
        if images.shape[-2:] != (self.side, self.side):
            raise ValueError(
                f"this network takes images of {self.side}x{self.side} pixels "
                f"(searchspace.resolution), got {tuple(images.shape[-2:])}"
            )
        # not len(images): torch.export would take it for a constant
        class_token = self.cls_token.expand(images.shape[0], -1, -1)
        x_NTE = torch.cat([class_token, self.patch_embed_super(images)], dim=1) + self.pos_embed
        for block in self.blocks:
            x_NTE = block(x_NTE, self.grid)
        patches = self.norm(x_NTE)[:, 1:]  # the class token is left out
        logits: Tensor = self.head(patches.mean(dim=1))
        return logits


def init_weights(net: VisionTransformer) -> None:
    """Initialise as the original: normal weights, zero biases; the patches' convolution apart."""
    for name, weight in net.named_parameters():
        if name.startswith("patch_embed_super") or "norm" in name:
            continue
        if name.endswith("bias"):
            nn.init.zeros_(weight)
        else:
            nn.init.trunc_normal_(weight, std=INIT_STD)
