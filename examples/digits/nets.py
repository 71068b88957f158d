"""A convolutional network for images of 8×8 pixels, its loss, and what it sees of an image in training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Net(nn.Module):
    """Two convolutions and a dense layer.

    Args:
        width: Channels of the first convolution.
        classes: Width of the output.
    """

    def __init__(self, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(2 * width * 16, classes),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits, `[rows, classes]`, for `pixels`, uint8 `[rows, 8, 8]` from 0 to 16."""
        return self.layers(pixels[:, None].to(torch.float32) / 16)


def loss(output: Tensor, target: Tensor) -> Tensor:
    """Return the cross entropy with smoothed labels: some digits are written so badly that no answer should be certain."""
    return functional.cross_entropy(output, target, label_smoothing=0.05)


def noisy(pixels: Tensor) -> Tensor:
    """Return images with one level of noise, in training only."""
    noise = torch.randint_like(pixels, 0, 2)
    return (pixels + noise).clamp(max=16)
