"""TabM: an ensemble of networks that share all dense layers and differ in a scaling of their input and in their last layer.

Gorishniy, Kotelnikov & Babenko, "TabM" (arXiv 2410.24210), the variant TabM-mini, on piecewise-linear encodings of numbers with a linear
embedding for each column (arXiv 2203.05556). The members learn side by side, each by its own loss, and answer with their mean probability.

"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlopsfw_trainer_torch.network import ByteDropout, CategoryTable, TabularNetwork

if TYPE_CHECKING:
    from mlopsfw.features import FeaturePlan
    from mlopsfw_trainer_torch import TorchConfig

_WIDTH = 128  # of the embedded row, at most, unless two values for each column exceed it
_FEWEST, _MOST = 2, 8


class MemberNetwork(nn.Module):
    """Maps floats and codes of a feature plan to the logits of each member.

    Args:
        sources: For each column of the float input, the column of the table that it encodes; those of one column lie together.
        code_counts: The number of codes of each column of the code input.
        embedding: Width of a category's embedding.
        hidden: Widths of the hidden layers, which all members share.
        dropout: Share of activations dropped in training.
        outputs: Width of the output.
        members: The number of members.
    """

    blocks: Tensor

    def __init__(
        self, *, sources: Sequence[str], code_counts: tuple[int, ...], embedding: int, hidden: tuple[int, ...], dropout: float,
        outputs: int, members: int,
    ) -> None:  # fmt: skip
        super().__init__()
        groups = [len(list(floats)) for _, floats in groupby(sources)]
        each = max(_FEWEST, min(_MOST, _WIDTH // max(1, len(groups))))
        self.register_buffer("blocks", _blocks(groups, each), persistent=False)
        self.numbers = nn.Parameter(_scaled(self.blocks)) if groups else None
        self.categories = CategoryTable(code_counts, embedding) if code_counts else None
        width = each * len(groups) + embedding * len(code_counts)
        self.scaling = nn.Parameter(torch.randn(members, 1, width))
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((width, *hidden)))
        self.dropout = ByteDropout(dropout)
        last = (width, *hidden)[-1]
        self.head = nn.Parameter((torch.rand(members, last, outputs) * 2 - 1) * last**-0.5)
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    @property
    def number_weights(self) -> Tensor:
        """The linear embeddings of all numbers as one matrix: a column's floats reach that column's values only."""
        if self.numbers is None:
            raise TypeError("this network reads no numbers")
        return self.numbers * self.blocks

    def forward(self, numeric: Tensor, codes: Tensor) -> Tensor:
        """Return `[members, rows, outputs]` for `numeric` (float32 `[rows, k]`) and `codes` (int64 `[rows, c]`)."""
        parts = [] if self.numbers is None else [numeric @ self.number_weights]
        if self.categories is not None:
            parts.append(self.dropout(self.categories(codes)))
        deep = torch.cat(parts, dim=1) * self.scaling
        for layer in self.hidden:
            deep = self.dropout(torch.relu(layer(deep)))
        return torch.baddbmm(self.bias, deep, self.head)


def network_of(config: TorchConfig, plan: FeaturePlan, outputs: int) -> TabularNetwork | MemberNetwork:
    """Return the configured network, untrained."""
    c, counts = config, plan.code_counts
    if c.network == "mlp":
        return TabularNetwork(
            numeric=len(plan.numeric_sources), code_counts=counts, embedding=c.embedding, hidden=c.hidden, dropout=c.dropout, outputs=outputs
        )  # fmt: skip
    return MemberNetwork(
        sources=plan.numeric_sources, code_counts=counts, embedding=c.embedding, hidden=c.hidden, dropout=c.dropout, outputs=outputs,
        members=c.members,
    )  # fmt: skip


def _blocks(groups: list[int], each: int) -> Tensor:
    """Return a mask, `[floats, columns × each]`: 1 where the float and the value belong to one column."""
    columns = torch.arange(len(groups))
    of_float, of_value = (
        columns.repeat_interleave(torch.tensor(groups, dtype=torch.int64)),
        columns.repeat_interleave(each),
    )
    return (of_float[:, None] == of_value[None, :]).to(torch.float32)


def _scaled(blocks: Tensor) -> Tensor:
    """Return random weights, of a size that gives each value the spread of its column's floats."""
    return torch.randn_like(blocks) * blocks.sum(0, keepdim=True).clamp_min(1).rsqrt()


def mean_logits(logits: Tensor, task: str) -> Tensor:
    """Return `[rows, outputs]`: the logits of the members' mean probability, or the mean of their values.

    Args:
        logits: `[members, rows, outputs]`, or `[rows, outputs]` of a single network, which is returned.
        task: `binary`, `multiclass` or `regression`.
    """
    if logits.dim() == 2:  # noqa: PLR2004
        return logits
    if task == "regression":
        return logits.mean(0)
    if task == "multiclass":
        return torch.logsumexp(functional.log_softmax(logits, dim=2), dim=0)
    return torch.logsumexp(functional.logsigmoid(logits), 0) - torch.logsumexp(functional.logsigmoid(-logits), 0)
