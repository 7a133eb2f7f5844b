# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The whole network: encoder, policy, one decoder per task, and a budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from adamtl_ros import tasks as table
from adamtl_ros.nn.cost.budget import BudgetModel, budget_model, plans_within
from adamtl_ros.nn.cost.macs import complexity
from adamtl_ros.nn.decoders import hrnet
from adamtl_ros.nn.decoders.hrnet import HrnetDecoder
from adamtl_ros.nn.decoders.pyramid import Decoder, decode
from adamtl_ros.nn.gating.calibration import Calibration, Level, frame_limit
from adamtl_ros.nn.gating.execution import PlannedExecution, RelaxedExecution
from adamtl_ros.nn.gating.gates import GATES, gumbel_sigmoid
from adamtl_ros.nn.gating.plan import Plan, uniform_plan
from adamtl_ros.nn.gating.policy import HeadStack, Policy, PolicyConfig
from adamtl_ros.nn.prediction import Cost, Prediction, RelaxedPrediction
from adamtl_ros.nn.swin.architecture import Architecture, architecture
from adamtl_ros.nn.swin.encoder import SwinEncoder
from adamtl_ros.tasks import TASKS, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from adamtl_ros.nn.adapters.config import LoraConfig
    from adamtl_ros.nn.cost.macs import Complexity
    from adamtl_ros.nn.gating.gates import Gates
    from adamtl_ros.nn.swin.encoder import Execution

SWIN_STD = 0.02
POLICY_INIT_SCALE = 0.1
"""Of the policy's last layers, so that no gate is nearly certain from the start."""
INITIAL_OPEN_PROB = 0.9
"""Probability with which a gate is open before training, all tasks in use."""


def init_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of all linear and convolution layers of a network, or of a part of it.

    Biases become zero. Weights come from normal distributions cut at two deviations: linear
    layers of the encoder with 0.02, as in Swin; all others so as to keep the variance (He et
    al. 2015).
    The policy's scores begin near one value, at which a gate is most likely open.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            swin = isinstance(module, nn.Linear) and name.startswith('encoder.')
            deviation = SWIN_STD if swin else _he_std(module)
            nn.init.trunc_normal_(
                module.weight, std=deviation, a=-2 * deviation, b=2 * deviation, generator=generator
            )
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, HeadStack):
            deviation = POLICY_INIT_SCALE / math.sqrt(module.weight.shape[-1])
            nn.init.normal_(module.weight, std=deviation, generator=generator)
            if module.bias is not None:
                nn.init.constant_(module.bias, _score_of(INITIAL_OPEN_PROB, len(module.weight)))


def _he_std(layer: nn.Linear | nn.Conv2d) -> float:
    return math.sqrt(2 / layer.weight[0].numel())


def _score_of(probability: float, heads: int) -> float:
    """Score of each head with which the union of all has a probability."""
    return math.log(math.expm1(-math.log1p(-probability) / heads))


class AdaptiveNetwork(nn.Module):
    """Multi-task network over a Swin encoder that runs as much as a budget allows.

    After AdaMTL (Neseem et al. 2023). A part that is left out is the identity and costs
    nothing; a task that is not asked for is not decoded and has no say in what runs.
    """

    def __init__(
        self,
        arch: Architecture,
        tasks: Mapping[str, Task] = TASKS,
        policy: PolicyConfig | None = None,
    ) -> None:
        super().__init__()
        self.arch = arch
        self.tasks = dict(tasks)
        self.encoder = SwinEncoder(arch)
        self.policy = Policy(arch, self.tasks, policy or PolicyConfig())
        kind = Decoder if arch.decoder == 'pyramid' else HrnetDecoder
        self.decoders = nn.ModuleDict(
            {name: kind(arch, task.channels) for name, task in self.tasks.items()}
        )
        self.calibration: Calibration | None = None
        self.adapters: LoraConfig | None = None

    @property
    def folded(self) -> bool:
        """Whether low-rank pairs are inside the weights; see `adapting.fold()`."""
        return self.adapters is not None and any(layer.folded for layer in self.encoder.linears)

    def forward(
        self, images: Tensor, budget: float = 1.0, tasks: Iterable[str] | None = None
    ) -> Prediction:
        """Predict.

        Below 1 the policy chooses what runs. With a calibration for these tasks the budget
        holds on average over images like those it was fitted on, hard ones get more than easy
        ones, and none more than budget + `PER_FRAME`. Without one, or at another input size,
        it holds for every image.

        Args:
            images: (B, 3, H, W), normalised; any height and width.
            budget: Share of the full MACs that may be spent, in (0, 1].
            tasks: Names of the wanted tasks; all if not given.

        Raises:
            ValueError: An unknown task, none at all, or a budget outside its range.

        """
        spending = self.spending(images.shape[-2:], tasks)
        if not 0 < budget <= 1:
            raise ValueError(f'budget must lie in (0, 1], got {budget}')
        tokens = self.encoder.patch_embed(images)
        plans, asked = self._choose(tokens, spending, budget)
        maps = self.decode(tokens, PlannedExecution(plans), spending.tasks)
        floor = spending.floor > budget * spending.full
        costs = [Cost.of(spending, plan, asked=asked, floor=floor) for plan in plans]
        return Prediction(maps, tuple(plans), tuple(costs))

    def follow(
        self, images: Tensor, plans: Sequence[Plan], tasks: Iterable[str] | None = None
    ) -> Prediction:
        """Predict by given plans, one for each image, without asking the policy.

        Raises:
            ValueError: An unknown task, none at all, another number of plans than images, or a
                plan that does not fit the network at this size.

        """
        if len(plans) != len(images):
            raise ValueError(f'{len(images)} images need as many plans, got {len(plans)}')
        spending = self.spending(images.shape[-2:], tasks)
        for plan in plans:
            spending.counts.check(plan)
        tokens = self.encoder.patch_embed(images)
        maps = self.decode(tokens, PlannedExecution(plans), spending.tasks)
        costs = [Cost.of(spending, plan, asked=False, floor=False) for plan in plans]
        return Prediction(maps, tuple(plans), tuple(costs))

    def relaxed(
        self,
        images: Tensor,
        budgets: Tensor,
        tasks: Iterable[str] | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        through: Iterable[str] = GATES,
    ) -> RelaxedPrediction:
        """Predict under gates drawn from the policy's scores, with gradients, for training.

        Everything is computed, and what a gate shuts out is taken away again, so that its
        gradient is known. To be trained with a loss that adds to the tasks' a penalty of how
        far the mean of `shares` is from the budget: the mean, so that images may differ, and
        both ways, since gates that all shut early learn nothing any more.

        As at inference, everything runs at budget 1.

        Args:
            images: (B, 3, H, W), normalised.
            budgets: (B,), each in (0, 1].
            tasks: Names of the tasks in use; all if not given.
            temperature: See `gumbel_sigmoid()`; lower it as training goes on.
            generator: For the noise.
            through: Which of `GATES` pass the gradient of the maps on to the policy.

        """
        spending = self.spending(images.shape[-2:], tasks)
        tokens = self.encoder.patch_embed(images)
        scores = self.policy(tokens, budgets, spending.tasks, own=spending.own_gates)
        gates = gumbel_sigmoid(scores, temperature, generator)
        gates = gates.map(lambda gate: _open_where(budgets == 1, gate))
        maps = self.under(tokens, gates.only_through(through), spending.tasks)
        # At budget 1 the policy is not asked, and what a block does not have must not count.
        shares = torch.where(budgets == 1, 1.0, spending.share(gates))
        return RelaxedPrediction(maps, shares, tokens, scores, gates)

    def under(self, tokens: Tensor, gates: Gates, tasks: Iterable[str]) -> dict[str, Tensor]:
        """Return the raw maps of tasks under given gates; everything is computed.

        Args:
            tokens: (B, H/4, W/4, C), the patch embedding.
            gates: Open (1) or shut (0).
            tasks: Names of the wanted tasks, in any order.

        """
        execution = RelaxedExecution(gates, self.arch.depths, self.policy.config.narrow)
        return self.decode(tokens, execution, table.select(tasks, self.tasks))

    def decode(
        self, tokens: Tensor, execution: Execution, tasks: Iterable[str]
    ) -> dict[str, Tensor]:
        """Return the raw maps of tasks from the patch embedding, (B, H/4, W/4, C)."""
        names = list(tasks)
        features = self.encoder(tokens, execution, names)
        decoders = [self.decoders[name] for name in names]
        if self.arch.decoder == 'pyramid':
            maps = decode(cast('list[Decoder]', decoders), features)
        else:
            mergings = self.encoder.mergings
            maps = hrnet.decode(cast('list[HrnetDecoder]', decoders), features, mergings)
        return dict(zip(names, maps, strict=True))

    def complexity(self, height: int, width: int) -> Complexity:
        """Count the MACs of one image of that size, by part."""
        known, size = tuple(self.tasks.values()), (height, width)
        config = self.policy.config
        return complexity(self.arch, size, known, config, self.adapters, folded=self.folded)

    def spending(self, size: Sequence[int], tasks: Iterable[str] | None = None) -> BudgetModel:
        """Return what gates cost at an input size for some tasks, all if not given.

        Raises:
            ValueError: An unknown task, or none at all.

        """
        wanted = table.select(self.tasks if tasks is None else tasks, self.tasks)
        if not wanted:
            raise ValueError(f'no task is wanted, choose from: {", ".join(self.tasks)}')
        height, width = size
        known, config = tuple(self.tasks.values()), self.policy.config
        return budget_model(
            self.arch, (height, width), known, config, wanted, self.adapters, folded=self.folded
        )

    def _choose(
        self, tokens: Tensor, spending: BudgetModel, budget: float
    ) -> tuple[list[Plan], bool]:
        """Choose what runs for each image, and say whether the policy was asked."""
        if budget == 1:
            return [uniform_plan(self.arch.depths)] * len(tokens), False
        level: Level | None = Level(budget, float('-inf'), budget)
        limit = budget
        if self.calibration and self.calibration.knows(spending.tasks):
            level = self.calibration.level(spending.tasks, budget)
            if level and self.calibration.size == spending.counts.size:
                limit = frame_limit(level.budget)
        if level is None or spending.floor + spending.asking > limit * spending.full:
            return [spending.least] * len(tokens), False
        conditions = tokens.new_full((len(tokens),), level.budget, dtype=torch.float)
        scores = self.policy(tokens, conditions, spending.tasks, own=spending.own_gates)
        return plans_within(scores, spending, level.threshold, limit, len(tokens)), True


def _open_where(everything: Tensor, gate: Tensor) -> Tensor:
    """Open all gates of some images."""
    return torch.where(everything.view(-1, *[1] * (gate.dim() - 1)), 1.0, gate)


def random_network(name: str, seed: int = 0, policy: PolicyConfig | None = None) -> AdaptiveNetwork:
    """Build a network by name with random weights, the same for the same seed.

    The global random state is left as it was.

    Raises:
        ValueError: An unknown name.

    """
    with torch.random.fork_rng(devices=[]):
        network = AdaptiveNetwork(architecture(name), policy=policy)
    init_weights(network, torch.Generator().manual_seed(seed))
    return network.eval()
