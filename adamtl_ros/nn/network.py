# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Adaptive network: encoder, policy, one decoder per task, and a budget.

images --> stem --> Policy --> scores --> Plan (gating, cost)
            |                              |
            +---------> encoder <----------+ PlannedExecution
                           | features of all stages
                           v
                        neck, decoders --> raw map of each task in use

With a ladder, the plan is the largest rung within the budget, and the stem sees the image at the
rung's size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.architecture import EfficientNetArchitecture, SwinArchitecture, architecture
from adamtl_ros.nn.cost.budget import BudgetModel, budget_model, ladder_macs, plans_within
from adamtl_ros.nn.cost.macs import complexity
from adamtl_ros.nn.decoders import DECODERS
from adamtl_ros.nn.efficientnet.encoder import EfficientNetEncoder
from adamtl_ros.nn.gating.calibration import Calibration, Level, frame_limit
from adamtl_ros.nn.gating.execution import PlannedExecution, RelaxedExecution
from adamtl_ros.nn.gating.gates import GATES, gumbel_sigmoid
from adamtl_ros.nn.gating.plan import Plan, scaled_size, uniform_plan
from adamtl_ros.nn.gating.policy import HeadStack, Policy, PolicyConfig
from adamtl_ros.nn.swin.encoder import SwinEncoder
from adamtl_ros.tasks import TASKS, Task, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from adamtl_ros.nn.adapters.lora import LoraConfig
    from adamtl_ros.nn.architecture import Architecture
    from adamtl_ros.nn.cost.macs import Complexity
    from adamtl_ros.nn.gating.gates import Gates
    from adamtl_ros.nn.swin.encoder import Execution


@dataclass(frozen=True)
class Cost:
    """Cost of one image.

    Attributes:
        macs: Multiply-accumulates executed, those of the policy included.
        macs_full: Multiply-accumulates of the full network without a policy, for the same tasks
            and size.
        blocks_run: Number of encoder blocks of which any part was executed.
        blocks_total: Number of encoder blocks of the network.
        windows_run: Number of attention windows executed, summed over the blocks.
        windows_total: Number of attention windows of the full network.
        floor: Whether the budget was below what always runs, so that this was spent instead.

    """

    macs: int
    macs_full: int
    blocks_run: int
    blocks_total: int
    windows_run: int
    windows_total: int
    floor: bool

    @property
    def fraction(self) -> float:
        """Executed fraction of the full MACs."""
        return self.macs / self.macs_full

    @classmethod
    def from_plan(
        cls,
        costs: BudgetModel,
        plan: Plan,
        *,
        policy_ran: bool,
        floor: bool,
        full: BudgetModel | None = None,
    ) -> Cost:
        """Return the cost of a plan.

        Args:
            costs: Budget model of the tasks in use, at the input size of the plan.
            plan: Plan that ran.
            policy_ran: Whether the policy ran, too.
            floor: Whether the budget was below what always runs.
            full: Budget model at the full input size; that of the plan if not given.

        """
        full = full or costs
        counts = costs.complexity
        return cls(
            macs=counts.total(plan, costs.tasks) + policy_ran * costs.policy_macs,
            macs_full=full.full,
            blocks_run=plan.blocks_run,
            blocks_total=plan.blocks_total,
            windows_run=counts.windows_run(plan),
            windows_total=full.windows,
            floor=floor,
        )


@dataclass(frozen=True)
class Prediction:
    """Result of a forward pass at inference.

    Attributes:
        maps: Raw maps by task name, (B, channels, H/4, W/4) of the largest input size of the
            plans: class logits, unscaled normals, logarithms of meters, or logits of a
            probability.
        plans: Plan of each image.
        costs: Cost of each image.

    """

    maps: dict[str, Tensor]
    plans: tuple[Plan, ...]
    costs: tuple[Cost, ...]


@dataclass(frozen=True)
class RelaxedPrediction:
    """Result of a forward pass under drawn gates, in training.

    Attributes:
        maps: Raw maps, as in `Prediction`.
        fractions: Fraction of the full MACs that each image would cost at inference, (B,);
            gradients reach the policy.
        tokens: Output of the encoder's stem.
        scores: Scores of the gates, from the policy.
        gates: Gates drawn from the scores, 0 or 1; all open at budget 1.

    """

    maps: dict[str, Tensor]
    fractions: Tensor
    tokens: Tensor
    scores: Gates
    gates: Gates


CACHED_COSTS = 256
"""Costs of plans that are kept, since each frame of a stream asks for one."""
SWIN_STD = 0.02
OUTPUT_STD = 0.01
"""Standard deviation of the last layers of FPN heads, so that no class is certain at first."""
POLICY_INIT_SCALE = 0.1
"""Scale of the policy's last layers, small so that no gate is nearly certain at first."""
INITIAL_OPEN_PROB = 0.9
"""Probability that a gate is open before training, with all tasks in use."""


def init_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Initialize all linear and convolution layers of a network, or of a part of it.

    Biases become zero. Weights are drawn from normal distributions truncated at two standard
    deviations: 0.02 for linear layers of the encoder, as in Swin; 0.01 for the last layers of
    FPN heads; for all others the one that preserves the variance (He et al. 2015). The policy's
    scores start near one value, at which a gate is open with `INITIAL_OPEN_PROB`.

    Args:
        network: Module to initialize, in place.
        generator: Random generator.

    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            deviation = _init_std(name, module)
            nn.init.trunc_normal_(
                module.weight, std=deviation, a=-2 * deviation, b=2 * deviation, generator=generator
            )
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, HeadStack):
            deviation = POLICY_INIT_SCALE / math.sqrt(module.weight.shape[-1])
            nn.init.normal_(module.weight, std=deviation, generator=generator)
            if module.bias is not None:
                nn.init.constant_(module.bias, _head_score(INITIAL_OPEN_PROB, len(module.weight)))


def _init_std(name: str, layer: nn.Linear | nn.Conv2d) -> float:
    if isinstance(layer, nn.Linear) and name.startswith('encoder.'):
        return SWIN_STD
    if name.startswith('decoders.') and name.endswith('.out'):
        return OUTPUT_STD
    return math.sqrt(2 / layer.weight[0].numel())


def _head_score(probability: float, heads: int) -> float:
    """Return the score of each head with which the noisy-or of all has a probability."""
    return math.log(math.expm1(-math.log1p(-probability) / heads))


class AdaptiveNetwork(nn.Module):
    """Multi-task network over an encoder that runs as much as a budget allows.

    After AdaMTL (Neseem et al. 2023). A part that is left out is the identity and costs nothing;
    a task that is not requested is not decoded and has no influence on what runs. With a ladder
    (`Architecture.ladder`), a budget chooses among a few plans that the network was trained for,
    which also differ in the size of the input; otherwise the policy decides about each gate.

    Attributes:
        calibration: Thresholds of budgets; None before calibration.
        adapters: Configuration of its low-rank adapters; None for none.

    Examples:
        >>> network = random_network('nano')
        >>> images = torch.zeros(1, 3, 192, 256)
        >>> prediction = network(images, budget=0.5, tasks=['semseg', 'depth'])
        >>> prediction.maps['depth'].shape
        torch.Size([1, 1, 48, 64])

    """

    def __init__(
        self,
        arch: Architecture,
        tasks: Mapping[str, Task] = TASKS,
        policy: PolicyConfig | None = None,
    ) -> None:
        """Create a network with random weights.

        Args:
            arch: Sizes of encoder and decoders.
            tasks: Tasks by name.
            policy: Decisions of the policy; those of the encoder's default if not given.

        Raises:
            ValueError: Gates that the encoder does not have.

        """
        super().__init__()
        self.arch = arch
        self.tasks = dict(tasks)
        decoders = DECODERS[arch.decoder]
        self.encoder = _encoder(arch, normalized_features=decoders.normalized_features)
        self.policy = Policy(arch, self.tasks, policy or default_policy(arch))
        self.neck = decoders.neck(arch) if decoders.neck else nn.Identity()
        channels = {name: task.channels for name, task in self.tasks.items()}
        self.decoders = decoders(arch, channels)
        self.calibration: Calibration | None = None
        self.adapters: LoraConfig | None = None
        self._costs: dict[object, Cost] = {}

    @property
    def merged(self) -> bool:
        """Whether low-rank pairs are merged into the weights; see `adapters.inject.merge()`."""
        return self.adapters is not None and any(layer.merged for layer in self.encoder.linears)

    def forward(
        self, images: Tensor, budget: float = 1.0, tasks: Iterable[str] | None = None
    ) -> Prediction:
        """Predict within a budget.

        Below budget 1 the policy decides what runs. With a calibration for these tasks, the
        budget holds on average over images like those of the calibration: hard images get more
        than easy ones, and none more than budget + `PER_FRAME`. Without a calibration, or at
        another input size, it holds for every image.

        Args:
            images: Normalized images (B, 3, H, W) of any height and width.
            budget: Fraction of the full MACs that may be spent, in (0, 1].
            tasks: Names of the tasks to predict; all by default.

        Raises:
            ValueError: An unknown task, no task, or a budget outside its range.

        """
        costs = self.budget_model(images.shape[-2:], tasks)
        if not 0 < budget <= 1:
            raise ValueError(f'budget must lie in (0, 1], got {budget}')
        if self.arch.ladder:
            plan, floor = self._choose_rung(costs, budget)
            return self._predict(images, [plan] * len(images), costs, floor=floor)
        tokens = self.encoder.stem(images)
        plans, policy_ran = self._choose_plans(tokens, costs, budget)
        maps = self.forward_tokens(tokens, PlannedExecution(plans), costs.tasks)
        floor = costs.floor > budget * costs.full
        spent = [Cost.from_plan(costs, plan, policy_ran=policy_ran, floor=floor) for plan in plans]
        return Prediction(maps, tuple(plans), tuple(spent))

    def forward_plans(
        self, images: Tensor, plans: Sequence[Plan], tasks: Iterable[str] | None = None
    ) -> Prediction:
        """Predict by given plans, without running the policy.

        Args:
            images: Normalized images (B, 3, H, W).
            plans: Plan of each image.
            tasks: Names of the tasks to predict; all by default.

        Raises:
            ValueError: An unknown task, no task, another number of plans than images, or a plan
                that does not fit the network at this size.

        """
        if len(plans) != len(images):
            raise ValueError(f'{len(images)} images need as many plans, got {len(plans)}')
        costs = self.budget_model(images.shape[-2:], tasks)
        for plan in plans:
            self._scaled(costs, plan.scale).complexity.check(plan)
        return self._predict(images, plans, costs, floor=False)

    def _predict(
        self, images: Tensor, plans: Sequence[Plan], costs: BudgetModel, *, floor: bool
    ) -> Prediction:
        """Predict by plans; the images of each scale run together."""
        groups: dict[float, list[int]] = {}
        for number, plan in enumerate(plans):
            groups.setdefault(plan.scale, []).append(number)
        parts = {
            scale: self._run(images[members], [plans[k] for k in members], costs.tasks)
            for scale, members in groups.items()
        }
        maps = parts[plans[0].scale] if len(parts) == 1 else _merge_scales(parts, groups)
        scaled = [self._scaled(costs, plan.scale) for plan in plans]
        spent = [
            Cost.from_plan(own, plan, policy_ran=False, floor=floor, full=costs)
            for own, plan in zip(scaled, plans, strict=True)
        ]
        return Prediction(maps, tuple(plans), tuple(spent))

    def _run(
        self, images: Tensor, plans: Sequence[Plan], tasks: Iterable[str]
    ) -> dict[str, Tensor]:
        """Return the raw maps of images whose plans have the same scale."""
        tokens = self.encoder.stem(resize_images(images, plans[0].scale))
        return self.forward_tokens(tokens, PlannedExecution(plans), tasks)

    def static_plan(
        self, size: Sequence[int], budget: float, tasks: Iterable[str] | None = None
    ) -> tuple[Plan, bool] | None:
        """Return the plan of a budget where it does not depend on the image.

        Args:
            size: Height and width of the images, in pixels.
            budget: Fraction of the full MACs that may be spent, in (0, 1].
            tasks: Names of the tasks to predict; all by default.

        Returns:
            Plan, and whether the budget is below the smallest one; None where the policy looks
            at the image.

        Raises:
            ValueError: As `forward()`.

        """
        costs = self.budget_model(size, tasks)
        if not 0 < budget <= 1:
            raise ValueError(f'budget must lie in (0, 1], got {budget}')
        if self.arch.ladder:
            return self._choose_rung(costs, budget)
        return (uniform_plan(self.arch.depths), False) if budget == 1 else None

    def plan_cost(
        self,
        plan: Plan,
        size: Sequence[int],
        tasks: Iterable[str],
        ran: Iterable[str] | None = None,
        *,
        floor: bool = False,
    ) -> Cost:
        """Return the cost of a plan that was chosen without the policy.

        Args:
            plan: Plan that ran.
            size: Height and width of the images before the plan scales them, in pixels.
            tasks: Names of the requested tasks, whose full MACs are the reference.
            ran: Names of the tasks that were predicted, if not the requested ones.
            floor: Whether the budget was below the smallest plan.

        """
        full = self.budget_model(size, tasks)
        spent = self.budget_model(scaled_size(size, plan.scale), full.tasks if ran is None else ran)
        key = (plan, full.complexity.size, full.tasks, spent.tasks, floor, self.merged)
        if key not in self._costs:
            if len(self._costs) >= CACHED_COSTS:
                self._costs.clear()
            self._costs[key] = Cost.from_plan(spent, plan, policy_ran=False, floor=floor, full=full)
        return self._costs[key]

    def forward_scaled(self, images: Tensor, plan: Plan, tasks: Iterable[str]) -> dict[str, Tensor]:
        """Return the raw maps of images that have the input size of a plan already.

        Args:
            images: Normalized images (B, 3, h, w).
            plan: Plan of all images.
            tasks: Names of the tasks to predict, in the order of the table.

        """
        tokens = self.encoder.stem(images)
        return self.forward_tokens(tokens, PlannedExecution([plan] * len(images)), tasks)

    def forward_train(
        self,
        images: Tensor,
        budgets: Tensor,
        tasks: Iterable[str] | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        differentiable: Iterable[str] = GATES,
    ) -> RelaxedPrediction:
        """Predict under gates drawn from the policy's scores, with gradients, for training.

        All parts are computed, and the output of those that are shut is multiplied by zero, so
        that the gradient of their gates is known. The loss should add to that of the tasks a
        penalty on the distance between the mean of `fractions` and the budget: on the mean, so
        that images may differ, and in both directions, since gates that are all shut get no
        gradient from the tasks.

        As at inference, everything runs at budget 1.

        Args:
            images: Normalized images (B, 3, H, W).
            budgets: Budget of each image, (B,), in (0, 1].
            tasks: Names of the tasks in use; all by default.
            temperature: Temperature of `gumbel_sigmoid()`; lower it in the course of training.
            generator: Random generator of the noise.
            differentiable: Granularities, of `GATES`, through which gradients of the maps reach
                the policy.

        """
        costs = self.budget_model(images.shape[-2:], tasks)
        tokens = self.encoder.stem(images)
        embedding = self.encoder.embedding(tokens)
        scores = self.policy(embedding, budgets, costs.tasks, branches=costs.branch_gates)
        gates = gumbel_sigmoid(scores, temperature, generator)
        gates = gates.map(lambda gate: _open_where(budgets == 1, gate))
        maps = self.forward_gated(tokens, gates.detach_except(differentiable), costs.tasks)
        # At budget 1 there is no policy, and windows that a block does not have must not count.
        fractions = torch.where(budgets == 1, 1.0, costs.fraction(gates))
        return RelaxedPrediction(maps, fractions, tokens, scores, gates)

    def forward_gated(
        self, tokens: Tensor, gates: Gates, tasks: Iterable[str]
    ) -> dict[str, Tensor]:
        """Return the raw maps of tasks under given gates; all parts are computed.

        Args:
            tokens: Output of the encoder's stem.
            gates: Open (1) or shut (0).
            tasks: Names of the tasks to predict, in any order.

        """
        execution = RelaxedExecution(gates, self.arch.depths, self.policy.config.narrow)
        return self.forward_tokens(tokens, execution, select(tasks, self.tasks))

    def forward_tokens(
        self, tokens: Tensor, execution: Execution, tasks: Iterable[str]
    ) -> dict[str, Tensor]:
        """Return the raw maps of tasks from the output of the encoder's stem.

        Args:
            tokens: Output of the encoder's stem.
            execution: Strategy that runs the blocks.
            tasks: Names of the tasks to predict, in the order of the table.

        """
        names = list(tasks)
        features = self.neck(self.encoder(tokens, execution, names))
        maps: dict[str, Tensor] = self.decoders(features, names, self.encoder.mergings)
        return maps

    def complexity(self, height: int, width: int) -> Complexity:
        """Count the MACs of one image of a size in pixels, by part."""
        known, size = tuple(self.tasks.values()), (height, width)
        config = self.policy.config
        return complexity(self.arch, size, known, config, self.adapters, merged=self.merged)

    def budget_model(self, size: Sequence[int], tasks: Iterable[str] | None = None) -> BudgetModel:
        """Return the cost of gates at an input size.

        Args:
            size: Height and width of the images, in pixels.
            tasks: Names of the tasks in use; all by default.

        Raises:
            ValueError: An unknown task, or no task.

        """
        selected = select(self.tasks if tasks is None else tasks, self.tasks)
        if not selected:
            raise ValueError(f'no task is requested, choose from: {", ".join(self.tasks)}')
        height, width = size
        known, config = tuple(self.tasks.values()), self.policy.config
        return budget_model(
            self.arch, (height, width), known, config, selected, self.adapters, merged=self.merged
        )

    def rung_fractions(
        self, size: Sequence[int], tasks: Iterable[str] | None = None
    ) -> tuple[float, ...]:
        """Return the fraction of the full MACs of each rung of the ladder, in its order.

        Args:
            size: Height and width of the images, in pixels.
            tasks: Names of the tasks in use; all by default.

        Raises:
            ValueError: An unknown task, or no task.

        """
        costs = self.budget_model(size, tasks)
        return tuple(macs / costs.full for macs in self._rungs(costs).values())

    def _rungs(self, costs: BudgetModel) -> dict[Plan, int]:
        """Return the MACs of the plan of each rung, from the budget model at the full size."""
        known, config, size = tuple(self.tasks.values()), self.policy.config, costs.complexity.size
        return ladder_macs(
            self.arch, size, known, config, costs.tasks, self.adapters, merged=self.merged
        )

    def _scaled(self, costs: BudgetModel, scale: float) -> BudgetModel:
        """Return a budget model at the input size of a scale."""
        return self.budget_model(scaled_size(costs.complexity.size, scale), costs.tasks)

    def _choose_rung(self, costs: BudgetModel, budget: float) -> tuple[Plan, bool]:
        """Return the plan of the largest rung within a budget, else the smallest, and whether so.

        Args:
            costs: Budget model of the tasks in use, at the full input size.
            budget: Fraction of the full MACs.

        """
        rungs = list(self._rungs(costs).items())
        within = [rung for rung in rungs if rung[1] <= budget * costs.full]
        if within:
            return max(within, key=lambda rung: rung[1])[0], False
        return min(rungs, key=lambda rung: rung[1])[0], True

    def _choose_plans(
        self, tokens: Tensor, costs: BudgetModel, budget: float
    ) -> tuple[list[Plan], bool]:
        """Return the plan of each image, and whether the policy ran."""
        if budget == 1:
            return [uniform_plan(self.arch.depths)] * len(tokens), False
        level: Level | None = Level(budget, float('-inf'), budget)
        limit = budget
        if self.calibration and self.calibration.covers(costs.tasks):
            level = self.calibration.level(costs.tasks, budget)
            if level and self.calibration.size == costs.complexity.size:
                limit = frame_limit(level.budget)
        if level is None or costs.floor + costs.policy_macs > limit * costs.full:
            return [costs.closed_plan] * len(tokens), False
        conditions = tokens.new_full((len(tokens),), level.budget, dtype=torch.float)
        embedding = self.encoder.embedding(tokens)
        scores = self.policy(embedding, conditions, costs.tasks, branches=costs.branch_gates)
        return plans_within(scores, costs, level.threshold, limit, len(tokens)), True


def _encoder(arch: Architecture, *, normalized_features: bool) -> SwinEncoder | EfficientNetEncoder:
    if isinstance(arch, EfficientNetArchitecture):
        return EfficientNetEncoder(arch.variant)
    assert isinstance(arch, SwinArchitecture)
    return SwinEncoder(arch, normalized_features=normalized_features)


def default_policy(arch: Architecture) -> PolicyConfig:
    """Return the configuration of the policy that fits an encoder."""
    default = PolicyConfig()
    return replace(default, gates=tuple(gate for gate in default.gates if gate in arch.gates))


def resize_images(images: Tensor, scale: float) -> Tensor:
    """Resize images to the input size of a scale, (B, 3, H, W) to (B, 3, h, w)."""
    if scale == 1:
        return images
    size = scaled_size(images.shape[-2:], scale)
    return functional.interpolate(images, size, mode='bilinear', antialias=True)


def _merge_scales(
    parts: Mapping[float, Mapping[str, Tensor]], groups: Mapping[float, Sequence[int]]
) -> dict[str, Tensor]:
    """Join the maps of groups of images in the order of the images, at the largest size."""
    order = [number for members in groups.values() for number in members]
    ranks = torch.tensor(order).argsort()
    largest = parts[max(parts)]
    return {
        name: torch.cat(
            [
                part[name]
                if part[name].shape[-2:] == full.shape[-2:]
                else functional.interpolate(part[name], full.shape[-2:], mode='bilinear')
                for part in parts.values()
            ]
        )[ranks.to(full.device)]
        for name, full in largest.items()
    }


def _open_where(images: Tensor, gate: Tensor) -> Tensor:
    """Open all gates of some images; `images` is a mask (B,)."""
    return torch.where(images.view(-1, *[1] * (gate.dim() - 1)), 1.0, gate)


def random_network(name: str, seed: int = 0, policy: PolicyConfig | None = None) -> AdaptiveNetwork:
    """Create a network by name with random weights, the same for the same seed.

    The global random state does not change.

    Args:
        name: Name of an architecture.
        seed: Seed of the weights.
        policy: Configuration of the policy; the default one if not given.

    Raises:
        ValueError: An unknown name.

    """
    with torch.random.fork_rng(devices=[]):
        network = AdaptiveNetwork(architecture(name), policy=policy)
    init_weights(network, torch.Generator().manual_seed(seed))
    return network.eval()
