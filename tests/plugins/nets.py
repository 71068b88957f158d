"""Modules, losses and transforms as a user writes them, right and wrong, for the tests of the trainer `torch`."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional


class Everything(nn.Module):
    """Reads an image, a text, a list, bytes, a number, an integer and a boolean."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten())
        self.letters = nn.Embedding(256, width)
        self.items = nn.Embedding(10, width)
        self.head = nn.Linear(width * 4 + width + width + 2 + 3, 1)

    def forward(self, *columns):
        image, text, items, octets, number, count, flag = columns
        scalars = torch.stack([number, count.to(torch.float32), flag.to(torch.float32)], dim=1)
        parts = [self.image(image[:, None].to(torch.float32) / 16), self.letters(text.to(torch.int64)).mean(1)]
        parts += [self.items(items).mean(1), octets.to(torch.float32) / 255, scalars]
        return self.head(torch.cat(parts, dim=1))[:, 0]


class Dense(nn.Module):
    """A linear layer over a vector, which may go wrong in many ways."""

    def __init__(self, width: int = 3, fault: str = "", dropout: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1 if fault == "narrow" else width)
        self.normal = nn.BatchNorm1d(width) if fault != "narrow" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.fault = fault

    def forward(self, vector):
        output = self.normal(self.layer(self.dropout(vector)))
        match self.fault:
            case "detached":
                return output.detach()
            case "integers":
                return output.to(torch.int64)
            case "branch":
                return output if output.sum() > 0 else output * 2
            case "tuple":
                return output, output
            case "evaluated":
                return output if self.training else output / 0.0
        return output


class Nothing(nn.Module):
    """Has no parameters."""

    def forward(self, vector):
        return vector[:, :3]


class Columns(nn.Module):
    """A linear layer over two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, a, b):
        return self.layer(torch.stack([a, b], dim=1))


class Letters(nn.Module):
    """A linear layer over the mean embedding of a text's bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.layer = nn.Embedding(256, 4), nn.Linear(4, 1)

    def forward(self, text):
        return self.layer(self.letters(text.to(torch.int64)).mean(1))


def smoothed(output, target):
    return functional.cross_entropy(output, target, label_smoothing=0.2)


def weighted(output, target, weight=None):
    each = functional.cross_entropy(output, target, reduction="none")
    return each.mean() if weight is None else (each * weight).sum() / weight.sum()


def each_row(output, target):
    return functional.cross_entropy(output, target, reduction="none")


def noisy(vector):
    return vector + 0.1 * torch.randn_like(vector)


def noisy_beside(vector, number):
    return noisy(vector), number


def longer(vector):
    return torch.cat([vector, vector], dim=1)


class Exploding:
    """A loss that is NaN from its 30th call on."""

    calls = 0

    def __call__(self, output, target):
        type(self).calls += 1
        loss = functional.cross_entropy(output, target)
        return loss * float("nan") if self.calls >= 30 else loss


exploding = Exploding()


class Counted(nn.Module):
    """A linear layer that notes the ids of the rows it learns from, in a file for each start, and can end its process once.

    Args:
        folder: Where each process notes them.
        dies_at: The call at which the second process ends itself, the first time.
        normalised: Whether a batch normalisation follows.
        pause: Seconds of a call.
    """

    def __init__(self, folder: str, dies_at: int = 0, *, normalised: bool = False, pause: float = 0.0) -> None:
        super().__init__()
        self.layer, self.normal = nn.Linear(4, 3), nn.BatchNorm1d(3)
        self.normalised, self.pause = normalised, pause
        self.folder, self.dies_at, self.calls, self.start = Path(folder), dies_at, 0, -1

    def forward(self, vector, number):
        if self.training:
            rank = os.environ.get("RANK", "0")
            if self.start < 0:
                self.start = len(list(self.folder.glob(f"{rank}-*")))
            with (self.folder / f"{rank}-{self.start}").open("a") as notes:
                notes.write(" ".join(str(each) for each in number.tolist()) + "\n")
            time.sleep(self.pause)
            self.calls += 1
            if (rank, self.start, self.calls) == ("1", 0, self.dies_at):
                os.kill(os.getpid(), signal.SIGKILL)
        output = self.layer(vector)
        return self.normal(output) if self.normalised else output
