"""A model of a run as one network: from inputs as they come to probabilities, in operations that can be exported."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_LEVELS = 255.0


class Ensemble(nn.Module):
    """Class probabilities, the mean over networks and views, after whatever the inputs need first.

    Args:
        prepare: from the inputs to those of the networks.
        networks: each from (B, ...) to logits (B, C), or (M, B, C) of M networks side by side.
        mirrored: whether the mean is also taken over the mirror images.

    Example:
        >>> model = Ensemble(AsTheyCome(), [nn.Identity(), nn.Identity()])
        >>> model(torch.tensor([[0.0, 0.0]]))
        tensor([[0.5000, 0.5000]])
    """

    def __init__(self, prepare: nn.Module, networks: Sequence[nn.Module], *, mirrored: bool = False) -> None:
        super().__init__()
        self.prepare = prepare
        self.networks = nn.ModuleList(networks)
        self.mirrored = mirrored

    def forward(self, *inputs: Tensor) -> Tensor:
        """Probabilities (B, C)."""
        prepared = self.prepare(*inputs)
        views = [prepared, prepared.flip(3)] if self.mirrored else [prepared]
        said = []
        for view in views:
            for network in self.networks:
                probs = network(view).softmax(dim=-1)
                said.append(probs if probs.ndim == 3 else probs[None])
        return torch.cat(said).mean(dim=0)


class AsTheyCome(nn.Module):
    """Inputs that need nothing.

    Example:
        >>> AsTheyCome()(torch.ones(1, 2))
        tensor([[1., 1.]])
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """The same."""
        return inputs


class Standardized(nn.Module):
    """(x - mean) / scale, computed in float64 as scikit-learn does, given as float32.

    Args:
        mean: (D,).
        scale: (D,).

    Example:
        >>> Standardized(np.array([2.0]), np.array([0.5]))(torch.tensor([[3.0]]))
        tensor([[2.]])
    """

    def __init__(self, mean: NDArray, scale: NDArray) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(np.asarray(mean, dtype=np.float64)))
        self.register_buffer("scale", torch.as_tensor(np.asarray(scale, dtype=np.float64)))
        self.mean: Tensor
        self.scale: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, D) float32."""
        return ((inputs.double() - self.mean) / self.scale).float()


class Ranked(nn.Module):
    """Ranks in [0, 1], computed in float64 as scikit-learn's QuantileTransformer does: 0 up to the lowest known number.

    Args:
        quantiles: (K, D) numbers whose ranks are known, rising, at equal distances of rank; K >= 2.

    Example:
        >>> Ranked(np.array([[1.0], [2.0], [2.0], [9.0]]))(torch.tensor([[0.0], [1.5], [2.0], [9.0]])).flatten()
        tensor([0.0000, 0.1667, 0.5000, 1.0000], dtype=torch.float64)
    """

    def __init__(self, quantiles: NDArray) -> None:
        super().__init__()
        self.register_buffer("quantiles", torch.as_tensor(np.asarray(quantiles, dtype=np.float64)))
        self.quantiles: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, D) float64."""
        numbers = inputs.double()
        below = numbers[:, None, :] - self.quantiles[None, :-1]
        widths = self.quantiles[1:] - self.quantiles[:-1]
        jumps = ((below > 0).double() + (below >= 0).double()) / 2  # where several ranks have one number
        shares = torch.where(widths > 0, (below / torch.where(widths > 0, widths, 1.0)).clamp(0.0, 1.0), jumps)
        inside = torch.where(numbers >= self.quantiles[-1], 1.0, shares.mean(dim=1))
        return torch.where(numbers <= self.quantiles[0], 0.0, inside)


class LogOdds(nn.Module):
    """arctanh(scale x + shift), float64: of what lies between -1 and 1.

    Args:
        scale: (D,).
        shift: (D,).

    Example:
        >>> LogOdds(np.array([2.0]), np.array([-1.0]))(torch.tensor([[0.5], [0.75]])).flatten()
        tensor([0.0000, 0.5493], dtype=torch.float64)
    """

    def __init__(self, scale: NDArray, shift: NDArray) -> None:
        super().__init__()
        self.register_buffer("scale", torch.as_tensor(np.asarray(scale, dtype=np.float64)))
        self.register_buffer("shift", torch.as_tensor(np.asarray(shift, dtype=np.float64)))
        self.scale: Tensor
        self.shift: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, D)."""
        inner = inputs.double() * self.scale + self.shift
        return ((1 + inner) / (1 - inner)).log() / 2  # ONNX Runtime has no arctanh of float64


class Arranged(nn.Module):
    """Columns of an array, in groups that are prepared each in its own way, one after the other.

    Args:
        places: which columns are of each group.
        parts: what prepares each, (B, columns) to float32.

    Example:
        >>> parts = [AsTheyCome(), Standardized(np.zeros(1), np.ones(1))]
        >>> Arranged([[1, 2], [0]], parts)(torch.tensor([[1.0, 2.0, 3.0]]))
        tensor([[2., 3., 1.]])
    """

    def __init__(self, places: Sequence[Sequence[int]], parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        for number, columns in enumerate(places):
            self.register_buffer(f"places{number}", torch.tensor([*columns], dtype=torch.int64))

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, D) float32."""
        parts = enumerate(self.parts)
        return torch.cat([part(inputs.index_select(1, getattr(self, f"places{at}"))) for at, part in parts], dim=1)


class Imputed(nn.Module):
    """Numbers of a table: missing ones (NaN) become the median, and columns that say where follow; all standardized.

    Args:
        medians: (K,) of the columns; NaN for one that held nothing, which is dropped.
        noted: which of the K columns have one that says where they miss.
        scaling: of all of these, (B, D) float64 to float32.

    Example:
        >>> imputed = Imputed(np.array([2.0]), [0], Standardized(np.zeros(2), np.ones(2)))
        >>> imputed(torch.tensor([[5.0], [float("nan")]], dtype=torch.float64))
        tensor([[5., 0.],
                [2., 1.]])
    """

    def __init__(self, medians: NDArray, noted: Sequence[int], scaling: nn.Module) -> None:
        super().__init__()
        kept = np.flatnonzero(~np.isnan(np.asarray(medians, dtype=np.float64)))
        self.register_buffer("medians", torch.as_tensor(np.asarray(medians, dtype=np.float64)[kept]))
        # An empty one on memory of NumPy is refused by torch.export.save.
        self.register_buffer("kept", torch.tensor(kept.tolist(), dtype=torch.int64))
        self.register_buffer("noted", torch.tensor([*noted], dtype=torch.int64))
        self.medians: Tensor
        self.kept: Tensor
        self.noted: Tensor
        self.scaling = scaling

    def forward(self, numbers: Tensor) -> Tensor:
        """(B, D) float32."""
        missing = torch.isnan(numbers)
        kept = numbers.index_select(1, self.kept)
        filled = torch.where(missing.index_select(1, self.kept), self.medians, kept)
        if self.noted.shape[0]:
            filled = torch.cat([filled, missing.index_select(1, self.noted).double()], dim=1)
        return self.scaling(filled)


class OneHot(nn.Module):
    """Codes of categories, one-hot: a code stands for a place, or for none.

    Args:
        places: for each column which of its places every code stands for, -1 for none; the last code stands for all
            that is unknown, and so does any number that is no code.
        widths: places of each column.

    Example:
        >>> OneHot([np.array([0, 1, -1])], [2])(torch.tensor([[1], [2], [-7]]))
        tensor([[0., 1.],
                [0., 0.],
                [0., 0.]])
    """

    def __init__(self, places: Sequence[NDArray], widths: Sequence[int]) -> None:
        super().__init__()
        self.places = nn.ParameterList(
            nn.Parameter(torch.as_tensor(np.asarray(each, dtype=np.int64)), requires_grad=False) for each in places
        )
        self.widths = list(widths)

    def forward(self, codes: Tensor) -> Tensor:
        """(B, D) float32."""
        columns = []
        for number, (places, width) in enumerate(zip(self.places, self.widths, strict=True)):
            column, last = codes[:, number], places.shape[0] - 1
            known = (column >= 0) & (column < last)
            place = places.index_select(0, torch.where(known, column, torch.full_like(column, last)))
            columns.append((place[:, None] == torch.arange(width, device=codes.device)).float())
        return torch.cat(columns, dim=1)


class TableColumns(nn.Module):
    """The columns of a table: numbers, categories, or both.

    Args:
        numbers: from (B, K) float64; None where there are no such columns.
        categories: from (B, K) int64; None where there are none.

    Example:
        >>> columns = TableColumns(Imputed(np.zeros(1), [], Standardized(np.zeros(1), np.ones(1))), None)
        >>> columns(torch.ones(1, 1, dtype=torch.float64))
        tensor([[1.]])
    """

    def __init__(self, numbers: nn.Module | None, categories: nn.Module | None) -> None:
        super().__init__()
        self.parts = nn.ModuleList([part for part in (numbers, categories) if part is not None])

    def forward(self, *inputs: Tensor) -> Tensor:
        """(B, D) float32."""
        return torch.cat([part(each) for part, each in zip(self.parts, inputs, strict=True)], dim=1)


class Pixels(nn.Module):
    """Images (B, channels, H, W) uint8, normalized by channel.

    Args:
        mean: (channels,) of pixels in [0, 1].
        std: (channels,).
        flatten: whether to give vectors.

    Example:
        >>> Pixels([0.0], [0.5], flatten=True)(torch.full((1, 1, 1, 2), 255, dtype=torch.uint8))
        tensor([[2., 2.]])
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, flatten: bool = False) -> None:
        super().__init__()
        self.register_buffer("mean", (torch.tensor(list(mean)) * _LEVELS).view(-1, 1, 1))
        self.register_buffer("scale", (1.0 / (torch.tensor(list(std)) * _LEVELS)).view(-1, 1, 1))
        self.mean: Tensor
        self.scale: Tensor
        self.flatten = flatten

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) float32, or (B, D)."""
        normalized = (images.float() - self.mean) * self.scale
        return normalized.flatten(1) if self.flatten else normalized
