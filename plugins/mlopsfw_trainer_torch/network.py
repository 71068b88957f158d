"""A single network: an embedding table for all categories, a stack of dense layers, and a linear path beside them."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

_SMALL = 0.05  # an untrained embedding should have nearly no effect


_BYTE = 256
_WORD = 8  # bytes


class ByteDropout(nn.Module):
    """Dropout that decides by one random byte per value: torch draws 64 bits, which takes a third of a small network's training time.

    Args:
        share: Share of values to drop, rounded to 1/256.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self._limit = min(round(share * _BYTE), _BYTE - 1)
        self._scale = _BYTE / (_BYTE - self._limit)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with values dropped and the others scaled up in training; `x` itself otherwise."""
        if not self.training or not self._limit:
            return x
        words = torch.empty(-(-x.numel() // _WORD), dtype=torch.int64, device=x.device).random_(-(2**63), None)
        octets, last = words.view(torch.uint8)[: x.numel()].view_as(x), self._limit - 1
        kept = octets.clamp_(last, last + 1).sub_(
            last
        )  # 0 or 1: on the CPU a comparison, and what it yields, is 15 times as slow
        return x * kept.to(x.dtype).mul_(self._scale)


class CategoryTable(nn.Module):
    """One embedding table for the codes of all columns.

    Args:
        code_counts: The number of codes of each column.
        embedding: Width of an embedding.
    """

    offsets: Tensor

    def __init__(self, code_counts: tuple[int, ...], embedding: int) -> None:
        super().__init__()
        starts = torch.tensor([0, *code_counts], dtype=torch.int64).cumsum(0)
        self.register_buffer("offsets", starts[:-1])
        self.table = nn.Embedding(int(starts[-1]), embedding)
        nn.init.normal_(self.table.weight, std=_SMALL)

    @property
    def width(self) -> int:
        """Values of an embedded row."""
        return len(self.offsets) * self.table.embedding_dim

    def forward(self, codes: Tensor) -> Tensor:
        """Return `[rows, columns × embedding]` for int64 `[rows, columns]`."""
        embedded: Tensor = self.table(codes + self.offsets)
        return embedded.flatten(1)


class TabularNetwork(nn.Module):
    """Maps floats and codes of a feature plan to logits (or a standardised value).

    Args:
        numeric: Columns of the float input.
        code_counts: The number of codes of each column of the code input.
        embedding: Width of an embedding.
        hidden: Widths of the hidden layers.
        dropout: Share of activations dropped in training.
        outputs: Width of the output.
    """

    def __init__(
        self, *, numeric: int, code_counts: tuple[int, ...], embedding: int, hidden: tuple[int, ...], dropout: float,
        outputs: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.categories = CategoryTable(code_counts, embedding) if code_counts else None
        width = numeric + embedding * len(code_counts)
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((width, *hidden)))
        self.dropout = ByteDropout(dropout)
        self.head = nn.Linear(hidden[-1], outputs) if hidden else None
        self.linear = nn.Linear(width, outputs)

    def forward(self, numeric: Tensor, codes: Tensor) -> Tensor:
        """Return `[rows, outputs]` for `numeric` (float32 `[rows, k]`) and `codes` (int64 `[rows, c]`)."""
        whole = numeric
        if self.categories is not None:
            whole = torch.cat((numeric, self.dropout(self.categories(codes))), dim=1)
        flat: Tensor = self.linear(whole)
        if self.head is None:
            return flat
        deep = whole
        for layer in self.hidden:
            deep = self.dropout(torch.relu(layer(deep)))
        above: Tensor = self.head(deep)
        return flat + above
