# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Policy: a small network that scores every gate once per frame, before the first block.

`gates` draws what becomes of the scores.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.gating.gates import GRANULARITIES, Gates, combine_heads
from adamtl_ros.nn.gating.plan import OFF, BlockPlan
from adamtl_ros.nn.swin.windows import WindowGrid, ceil_to, window_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from adamtl_ros.nn.architecture import Architecture

CELL = 4
"""Side of a cell, in tokens of the first stage."""
MAX_SIZE = 1024
"""Largest number of channels of a policy."""


def cell_grid(height: int, width: int) -> tuple[int, int]:
    """Return height and width of the policy's map for a grid of tokens."""
    return ceil_to(height, CELL) // CELL, ceil_to(width, CELL) // CELL


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def policy_cells(
    arch: Architecture, grid: tuple[int, int], kind: str, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the cells of the map under each window or token of each block.

    Args:
        arch: Sizes of the network.
        grid: Height and width of the first stage's tokens.
        kind: 'windows' or 'tokens'.
        device: Device of the result.

    Returns:
        Index into the flattened map, (4, blocks, windows) or (1, blocks, windows, slots); and a
        mask without the first axis, True for windows and tokens that a block does not have.

    """
    found = []
    height, width = grid
    for stage, depth in enumerate(arch.depths):
        cuts = [window_grid(height, width, arch.window, k % 2 == 1) for k in range(depth)]
        for cut in cuts:
            cell, inside = _cells_under(cut, cell_grid(*grid), kind)
            found.append((cell * len(arch.depths) + stage, inside))
        height, width = (height + 1) // 2, (width + 1) // 2
    most = max(inside.shape[0] for _, inside in found)
    cells = torch.stack([_pad_to(cell, 1, most) for cell, _ in found], 1)
    inside = torch.stack([_pad_to(mask, 0, most) for _, mask in found])
    return cells.to(device), ~inside.to(device)


def _cells_under(grid: WindowGrid, cells: tuple[int, int], kind: str) -> tuple[Tensor, Tensor]:
    """Return the cells under windows, (4, windows), or tokens, (1, windows, slots), of a grid."""
    slots = grid.order.view(grid.count, grid.window, grid.window)
    if kind == 'windows':
        middles = torch.tensor([grid.window // 4, grid.window - 1 - grid.window // 4])
        slots = slots[:, middles][:, :, middles].flatten(1).T
        inside = torch.ones(grid.count, dtype=torch.bool)
    else:
        slots = slots.flatten(1)[None]
        rows, columns = slots[0] // grid.padded[1], slots[0] % grid.padded[1]
        inside = (rows < grid.height) & (columns < grid.width)
    row = (slots // grid.padded[1]).clamp(max=grid.height - 1) * cells[0] // grid.height
    column = (slots % grid.padded[1]).clamp(max=grid.width - 1) * cells[1] // grid.width
    return row * cells[1] + column, inside


def _pad_to(x: Tensor, axis: int, length: int) -> Tensor:
    """Pad an axis with zeros, or False, at its end."""
    shape = list(x.shape)
    shape[axis] = length - shape[axis]
    return torch.cat([x, x.new_zeros(shape)], axis)


@dataclass(frozen=True)
class PolicyConfig:
    """Granularities that a policy decides, and its sizes.

    Attributes:
        gates: Granularities that it decides, of `GRANULARITIES`.
        task_aware: Whether each task has a head, combined over those in use; else there is one
            head for all tasks.
        narrow: Fraction of the MLP's hidden channels of a block whose width gate is shut.
        channels: Channels of its features at stride 4; its map has twice as many.
        hidden: Channels of its features of the whole frame.

    """

    gates: tuple[str, ...] = ('blocks', 'windows')
    task_aware: bool = True
    narrow: float = 0.5
    channels: int = 16
    hidden: int = 64

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: An unknown granularity or an impossible size.

        """
        unknown = [name for name in self.gates if name not in GRANULARITIES]
        if unknown or not self.gates or len(set(self.gates)) < len(self.gates):
            allowed = ', '.join(GRANULARITIES)
            raise ValueError(f'gates must be some of {allowed}, each once, got {list(self.gates)}')
        if not 0 < self.narrow < 1:
            raise ValueError(f'narrow must lie between 0 and 1, got {self.narrow}')
        if not all(isinstance(one, int) for one in (self.channels, self.hidden)):
            raise ValueError(f'sizes of a policy must be whole numbers: {self}')
        if not 1 <= min(self.channels, self.hidden) <= max(self.channels, self.hidden) <= MAX_SIZE:
            raise ValueError(f'sizes of a policy must be 1 to {MAX_SIZE}: {self}')

    @property
    def closed_block(self) -> BlockPlan:
        """Plan of a block with all its gates shut."""
        if 'blocks' in self.gates or 'windows' in self.gates:
            return OFF
        width = self.narrow if 'widths' in self.gates else 1.0
        return BlockPlan(width=width, tokens=() if 'tokens' in self.gates else None)

    @property
    def has_map(self) -> bool:
        """Whether it decides windows or tokens, which takes a map."""
        return 'windows' in self.gates or 'tokens' in self.gates

    def heads(self, tasks: Iterable[str]) -> tuple[str, ...]:
        """Return the names of the heads of some tasks."""
        return tuple(tasks) if self.task_aware else ('shared',)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PolicyConfig:
        """Create from the dictionary of `to_dict()`.

        Raises:
            ValueError: Missing or unknown keys, or impossible values.

        """
        try:
            return cls(**{**values, 'gates': tuple(values['gates'])})
        except (KeyError, TypeError) as error:
            raise ValueError(f'not a policy of this version: {error}') from error


class HeadStack(nn.Module):
    """Linear layers of equal size, one for each head, of which some can run together."""

    def __init__(self, heads: int, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(heads, outputs, inputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(heads, outputs)) if bias else None

    def forward(self, x: Tensor, heads: Tensor) -> Tensor:
        """Apply some heads, by index, to the last axis: (..., inputs) to (..., outputs, heads)."""
        weight = self.weight.index_select(0, heads).transpose(0, 1).flatten(0, 1)
        bias = None if self.bias is None else self.bias.index_select(0, heads).T.flatten()
        return functional.linear(x, weight, bias).unflatten(-1, (-1, len(heads)))


class Policy(nn.Module):
    """Scores every gate of the encoder from the patch embedding and the budget.

    It runs once per frame, at any input size. The patch embedding is pooled to a map with one
    cell for 4 x 4 tokens. Features of the whole frame, scaled and shifted by the budget (Perez
    et al. 2018, "FiLM"), score blocks and widths; the map adds what depends on the position: a
    window's score is the maximum over the cells under its four quarters.

    AdaMTL (Neseem et al. 2023) has two networks per task and stage instead, one of which runs
    again before each block.
    """

    def __init__(self, arch: Architecture, tasks: Iterable[str], config: PolicyConfig) -> None:
        super().__init__()
        missing = [name for name in config.gates if name not in arch.gates]
        if missing:
            raise ValueError(
                f'{arch.encoder} has no gates on {", ".join(missing)}, choose from: '
                f'{", ".join(arch.gates)}'
            )
        self.arch, self.config = arch, config
        self.names = config.heads(tasks)
        channels, hidden, heads = config.channels, config.hidden, len(self.names)
        self.squeeze = nn.Linear(arch.embed_dim, channels)
        self.mix = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.frame = nn.Linear(4 * channels, hidden)
        self.budget = nn.Sequential(nn.Linear(1, hidden), nn.GELU(), nn.Linear(hidden, 2 * hidden))
        self.heads = HeadStack(heads, hidden, len(config.gates) * arch.block_count)
        if config.has_map:
            self.maps = HeadStack(heads, 2 * channels, len(arch.depths), bias=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Policy:
        """Move with the network, but stay in float32: thresholds need the precision."""

        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            same = tensor.is_meta or moved.dtype == tensor.dtype
            return moved if same else tensor.to(moved.device)

        super()._apply(move, recurse)
        return self

    def forward(
        self, tokens: Tensor, budget: Tensor, tasks: Iterable[str], *, branches: bool = False
    ) -> Gates:
        """Score the gates.

        Args:
            tokens: Patch embedding, (B, H/4, W/4, C). No gradient flows back into it.
            budget: Budget of each image, (B,), in (0, 1].
            tasks: Tasks in use; the others have no influence.
            branches: Score the tasks' branches, too; see `combine_heads()`.

        Returns:
            Scores, always in float32.

        """
        height, width = tokens.shape[1:3]
        scores = self.head_scores(self.features(tokens), (height, width), budget, tasks)
        return combine_heads(scores, branches=branches)

    def features(self, tokens: Tensor) -> Tensor:
        """Return the map of a frame, (B, H/16, W/16, 2 * channels), for `head_scores()`."""
        with torch.autocast(tokens.device.type, enabled=False):
            x = tokens.detach().to(self.squeeze.weight.dtype)  # B, H/4, W/4, C
            x = functional.gelu(self.squeeze(x)).permute(0, 3, 1, 2)
            x = functional.adaptive_avg_pool2d(x, cell_grid(*x.shape[-2:]))
            return functional.gelu(self.mix(x)).permute(0, 2, 3, 1)

    def head_scores(
        self, cells: Tensor, grid: tuple[int, int], budget: Tensor, tasks: Iterable[str]
    ) -> Gates:
        """Return the scores of each head of the tasks in use, (B, ..., heads).

        Args:
            cells: Map that `features()` returned.
            grid: Height and width of the tokens that it was made of.
            budget: Budget of each image, (B,), in (0, 1].
            tasks: Tasks in use.

        """
        with torch.autocast(cells.device.type, enabled=False):
            heads = torch.tensor(self.head_indices(tasks), device=cells.device)
            frame = self._frame_features(cells, budget.to(cells))
            chunks = self.heads(frame, heads).chunk(len(self.config.gates), 1)  # B, blocks, heads
            scores = dict(zip(self.config.gates, chunks, strict=True))
            if self.config.has_map:
                flat = self.maps(cells, heads).flatten(1, 3)  # B, cells * stages, heads
                for kind in ('windows', 'tokens'):
                    if kind in scores:
                        scores[kind] = _place_scores(flat, scores[kind], self.arch, grid, kind)
            return Gates(**scores)

    def head_indices(self, tasks: Iterable[str]) -> list[int]:
        """Return the indices of the heads of some tasks."""
        return [self.names.index(name) for name in self.config.heads(tasks)]

    def _frame_features(self, cells: Tensor, budget: Tensor) -> Tensor:
        """Return the features of the whole frame under the budget, (B, hidden)."""
        pooled = self.frame(torch.cat([cells.mean((1, 2)), cells.amax((1, 2))], 1))
        scale, shift = self.budget(budget[:, None]).chunk(2, 1)
        return functional.gelu(pooled * (1 + scale) + shift)


def _place_scores(
    cells: Tensor, offsets: Tensor, arch: Architecture, grid: tuple[int, int], kind: str
) -> Tensor:
    """Return the scores of windows or tokens: those of the map plus those of the frame.

    Args:
        cells: Scores of the map, (B, cells * stages, heads).
        offsets: Scores of the frame, (B, blocks, heads).
        arch: Sizes of the network.
        grid: Height and width of the first stage's tokens.
        kind: 'windows' or 'tokens'.

    """
    index, absent = policy_cells(arch, grid, kind, cells.device)
    scores = cells.index_select(1, index.flatten()).unflatten(1, index.shape).amax(1)
    offsets = offsets.view(*offsets.shape[:2], *[1] * (absent.dim() - 1), offsets.shape[2])
    return (scores + offsets).masked_fill(absent[..., None], float('-inf'))
