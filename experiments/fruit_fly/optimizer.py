"""Muon for the matrices, AdamW for the rest.

Muon (Jordan and others, 2024) takes the momentum of a matrix to the nearest orthogonal one by a few
Newton-Schulz steps. torch.optim.Muon does it matrix by matrix in bfloat16, which these CPUs lack; here
matrices of one shape go through together, in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def _orthogonal(matrices: Tensor) -> Tensor:
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.mT if tall else x


class Optimizer:
    """``step(scale)`` follows the gradients and clears them; ``scale`` multiplies both learning rates."""

    def __init__(
        self, model: nn.Module, matrix_rate: float, other_rate: float, momentum: float = 0.95
    ) -> None:
        named = list(model.named_parameters())
        self.groups: dict[tuple[int, ...], list[nn.Parameter]] = {}
        for name, parameter in named:
            if parameter.dim() == 2 and "embed" not in name:
                self.groups.setdefault(tuple(parameter.shape), []).append(parameter)
        self.buffers = {shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()}
        others = [p for name, p in named if p.dim() != 2 or "embed" in name]
        self.adam = torch.optim.AdamW(others, lr=other_rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.parameters = [p for _, p in named]
        self.matrix_rate, self.other_rate, self.momentum = matrix_rate, other_rate, momentum

    @torch.no_grad()
    def step(self, scale: float) -> None:
        for shape, group in self.groups.items():
            gradients = torch.stack([p.grad for p in group if p.grad is not None])
            buffer = self.buffers[shape].lerp_(gradients, 1 - self.momentum)
            update = _orthogonal(gradients.lerp(buffer, self.momentum))
            rate = self.matrix_rate * scale
            for parameter, direction in zip(group, update, strict=True):
                parameter.mul_(1 - 0.01 * rate)
                parameter.add_(direction, alpha=-rate * max(1, shape[0] / shape[1]) ** 0.5)
        for options in self.adam.param_groups:
            options["lr"] = self.other_rate * scale
        self.adam.step()
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, Any]:
        return {"buffers": self.buffers, "adam": self.adam.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.buffers = state["buffers"]
        self.adam.load_state_dict(state["adam"])
