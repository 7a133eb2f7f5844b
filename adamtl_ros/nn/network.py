# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The whole network: encoder, one decoder per task, and a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from adamtl_ros.nn.architecture import Architecture, architecture
from adamtl_ros.nn.complexity import Complexity, complexity
from adamtl_ros.nn.decoders import Decoder
from adamtl_ros.nn.gating import Plan, full_plan, plan_for_budget
from adamtl_ros.nn.swin import SwinEncoder
from adamtl_ros.tasks import TASKS, Task, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOG_DEPTH_LIMIT = 6.9
"""The depth decoder gives the logarithm of metres, kept between 1 mm and 1 km."""


@dataclass(frozen=True)
class Cost:
    """What one forward pass spent, for each image.

    Attributes:
        macs: Multiply-accumulates executed.
        macs_full: The same with everything on, for the same tasks and size.
        blocks_run: Encoder blocks executed.
        blocks_total: Encoder blocks of the network.
        windows_run: Attention windows executed, summed over the blocks.
        windows_total: The same with everything on.
        floor: The budget was below what always runs, so that was spent instead.

    """

    macs: int
    macs_full: int
    blocks_run: int
    blocks_total: int
    windows_run: int
    windows_total: int
    floor: bool

    @property
    def share(self) -> float:
        """Executed share of the full MACs."""
        return self.macs / self.macs_full


@dataclass(frozen=True)
class Prediction:
    """Raw maps of a forward pass and what they cost.

    Attributes:
        maps: By task name, (B, channels, H/4, W/4): class logits, unscaled normals, the
            logarithm of metres, or the logit of a probability.
        cost: What was spent.

    """

    maps: dict[str, Tensor]
    cost: Cost


class AdaptiveNetwork(nn.Module):
    """Multi-task network over a Swin encoder that runs as much as a budget allows.

    After AdaMTL (Neseem et al. 2023). A block that is left out is the identity and costs
    nothing; a task that is not asked for is not decoded.
    """

    def __init__(self, arch: Architecture, tasks: Mapping[str, Task] = TASKS) -> None:
        super().__init__()
        self.arch = arch
        self.tasks = dict(tasks)
        self.encoder = SwinEncoder(arch)
        self.decoders = nn.ModuleDict(
            {name: Decoder(arch, task.channels) for name, task in self.tasks.items()}
        )

    def forward(
        self, images: Tensor, budget: float = 1.0, tasks: Iterable[str] | None = None
    ) -> Prediction:
        """Predict.

        Args:
            images: (B, 3, H, W), normalised; any height and width.
            budget: Share of the full MACs that may be spent, in (0, 1].
            tasks: Names of the wanted tasks; all if not given.

        Raises:
            ValueError: An unknown task, or a budget outside its range.

        """
        wanted = select(self.tasks if tasks is None else tasks, self.tasks)
        counts = self.complexity(images.shape[-2], images.shape[-1])
        plan = plan_for_budget(counts, self.arch.depths, wanted, budget)
        features = self.encoder(images, plan.blocks)
        maps = {name: self.decoders[name](features) for name in wanted}
        return Prediction(maps, self._cost(counts, plan, wanted, budget))

    def complexity(self, height: int, width: int) -> Complexity:
        """Count the MACs of one image of that size, by part."""
        return complexity(self.arch, (height, width), tuple(self.tasks.values()))

    def _cost(self, counts: Complexity, plan: Plan, tasks: tuple[str, ...], budget: float) -> Cost:
        everything = full_plan(self.arch.depths)
        macs_full = counts.total(everything, tasks)
        return Cost(
            macs=counts.total(plan, tasks),
            macs_full=macs_full,
            blocks_run=plan.blocks_run,
            blocks_total=plan.blocks_total,
            windows_run=counts.windows_run(plan),
            windows_total=counts.windows_run(everything),
            floor=counts.floor(tasks) > budget * macs_full,
        )


def random_network(name: str, seed: int = 0) -> AdaptiveNetwork:
    """Build a network by name with random weights, the same for the same seed.

    Linear and convolution weights are drawn from a normal distribution of deviation 0.02 cut
    at two deviations, as in Swin; the global random state is left as it was.

    Raises:
        ValueError: An unknown name.

    """
    with torch.random.fork_rng(devices=[]):
        network = AdaptiveNetwork(architecture(name))
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            deviation = 0.02 if isinstance(module, nn.Linear) else _he_deviation(module)
            nn.init.trunc_normal_(
                module.weight, std=deviation, a=-2 * deviation, b=2 * deviation, generator=generator
            )
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network.eval()


def _he_deviation(convolution: nn.Conv2d) -> float:
    """Deviation that keeps the variance of the features (He et al. 2015)."""
    height, width = convolution.kernel_size
    fan_in = convolution.in_channels // convolution.groups * height * width
    return float((2 / fan_in) ** 0.5)
