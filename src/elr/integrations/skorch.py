"""ELR in skorch: a net for whoever trains with scikit-learn's grammar, `pip install '.[skorch]'`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from elr.audit.label_quality import Audit
from elr.data.indexed import IndexedDataset
from elr.errors import ArgumentError
from elr.methods.loss.elr_loss import ELRLoss
from elr.methods.loss.formulas import as_tensor

try:
    from skorch import NeuralNetClassifier
    from skorch.dataset import get_len
    from skorch.utils import to_numpy
except ImportError as error:
    raise ImportError("elr.integrations.skorch needs skorch: pip install '.[skorch]'") from error

_TARGETS = "loss.targets._extra_state"


class ELRCriterion(nn.CrossEntropyLoss):
    """ELR in training, cross entropy in validation: the criterion of `ELRNet`, which tells it the rows.

    The table of targets is made when the number of rows is known, in `fit`: each fold of a search has its own. The
    class is one of cross entropy because skorch knows by that to make probabilities of logits.

    Args:
        lam: see `elr.methods.loss.elr_loss.ELRLoss`.
        beta: see there.
        clamp: see there.

    Raises:
        ArgumentError: a setting out of range; training with another net than `ELRNet`.

    Example:
        >>> criterion = ELRCriterion(lam=3.0)
        >>> criterion.begin(num_examples=4)
        >>> with criterion.rows(torch.tensor([2, 0])):
        ...     loss = criterion(torch.zeros(2, 3), torch.tensor([1, 2]))
        >>> criterion.loss.targets.read(torch.tensor([2])).round(decimals=2)
        tensor([[0.1000, 0.1000, 0.1000]])
    """

    def __init__(self, *, lam: float = 3.0, beta: float = 0.7, clamp: float = 1e-4) -> None:
        super().__init__()
        ELRLoss(1, 2, lam=lam, beta=beta, clamp=clamp)  # refuses settings out of range at once
        self.settings = {"lam": lam, "beta": beta, "clamp": clamp}
        self.num_examples: int | None = None
        self.loss: ELRLoss | None = None
        self.index: Tensor | None = None

    def reset(self) -> None:
        """Forget all rows."""
        self.num_examples, self.loss = None, None

    def begin(self, num_examples: int) -> None:
        """Take the rows of a `fit`, or those of before again.

        Raises:
            ArgumentError: another number of rows than before.
        """
        known = self.num_examples if self.loss is None else self.loss.targets.num_examples
        if known not in (None, num_examples):
            raise ArgumentError(
                f"training goes on with {num_examples} rows, and the targets are of {known}: expected the same rows in "
                "the same order (partial_fit, warm_start); call fit of a net without warm_start to begin anew"
            )
        self.num_examples = num_examples

    @contextmanager
    def rows(self, index: Tensor) -> Iterator[None]:
        """Within it, the batch is of these rows."""
        self.index = index
        try:
            yield
        finally:
            self.index = None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        labels = as_tensor(target, "y", device=input.device)
        if not self.training:
            return super().forward(input, labels)
        if self.index is None or self.num_examples is None:
            raise ArgumentError("ELRCriterion does not know which rows these are: train with ELRNet")
        if self.loss is None:
            _refuse_probs(input)
            self.loss = ELRLoss(self.num_examples, input.shape[1], **self.settings).to(input.device)
        return self.loss(input, labels, self.index)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        found = state_dict.get(prefix + _TARGETS)
        if found is not None and self.loss is None:  # a net that was not fitted yet is given its parameters
            self.loss = ELRLoss(*found.shape, **self.settings).to(found.device)
            self.num_examples = len(found)
        super()._load_from_state_dict(state_dict, prefix, *args)


class ELRNet(NeuralNetClassifier):
    """skorch's `NeuralNetClassifier`, trained with ELR; everything else is as there.

    Row numbers are those of the X that `fit` is given, also where skorch sets validation rows aside (`train_split`):
    these are never trained on and have no targets. `partial_fit` and `warm_start` go on with the targets of before, and
    expect the same rows. Pickling and `save_params(f_criterion=...)` keep the targets.

    Args:
        module: gives logits (B, C), without a softmax at its end. `predict_proba` gives probabilities.
        criterion: `ELRCriterion`; its settings as `criterion__lam=3.0`, `criterion__beta=0.7`, also in a search.

    All other arguments are those of skorch. y has class numbers 0 ... C - 1, as always there.

    Raises:
        ArgumentError: in `fit`, y that is no class numbers, a module that gives probabilities, an `iterator_train` that
            is no DataLoader; in `partial_fit`, another number of rows than before.

    Example:
        >>> from sklearn.datasets import make_blobs
        >>> X, y = make_blobs(60, centers=[(-5, 0), (5, 0)], random_state=0)
        >>> given = y.copy()
        >>> given[:6] = 1 - given[:6]  # six wrong labels
        >>> _ = torch.manual_seed(0)
        >>> net = ELRNet(nn.Linear(2, 2), max_epochs=10, lr=0.1, batch_size=10, train_split=None, verbose=0)
        >>> _ = net.fit(X.astype("float32"), given)
        >>> sorted(net.audit().ranking[:6].tolist())
        [0, 1, 2, 3, 4, 5]
    """

    def __init__(self, module: Any, *args: Any, criterion: Any = ELRCriterion, **kwargs: Any) -> None:
        super().__init__(module, *args, criterion=criterion, **kwargs)

    def initialize_criterion(self) -> ELRNet:
        super().initialize_criterion()
        if not isinstance(self.criterion_, ELRCriterion):
            raise ArgumentError(
                f"criterion is {type(self.criterion_).__name__}: expected ELRCriterion, for its targets"
            )
        self.criterion_.reset()  # one that was passed as an instance may have been trained with
        return self

    def check_data(self, X: Any, y: Any) -> None:
        super().check_data(X, y)
        self.labels_ = None if y is None else _class_numbers(y)
        self.criterion_.begin(get_len(X))

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        dataset = super().get_dataset(X, y)
        return _Whole(dataset) if isinstance(dataset, Subset) else dataset

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        if not training:
            return super().get_iterator(dataset, training=False)
        loader = super().get_iterator(IndexedDataset(dataset), training=True)
        if not isinstance(loader, DataLoader):
            raise ArgumentError(f"iterator_train gives a {type(loader).__name__}: expected a DataLoader of PyTorch")
        loader.collate_fn = _CollateRows(loader.collate_fn)
        return _RowLoader(loader)

    def train_step_single(self, batch: Any, **fit_params: Any) -> Any:
        if not isinstance(batch, _RowBatch):
            raise ArgumentError("a batch came without its rows: leave get_iterator of ELRNet as it is")
        with self.criterion_.rows(batch.index):
            return super().train_step_single(batch, **fit_params)

    def get_loss(self, y_pred: Any, y_true: Any, *args: Any, **kwargs: Any) -> Tensor:
        return super().get_loss(y_pred[0] if isinstance(y_pred, tuple) else y_pred, y_true, *args, **kwargs)

    def audit(
        self, labels: ArrayLike | None = None, *, score: str | None = None, class_names: Sequence[Any] | None = None
    ) -> Audit:
        """Which of the labels passed to `fit` the targets contradict; see `ELRLoss.audit`.

        Rows that skorch has set aside for validation have no targets, and a warning says how many: fit with
        `train_split=None` to have all labels judged.

        Args:
            labels: (N,) given labels. Default: those of the last `fit`.
            score: see `elr.audit.label_quality.audit_labels`.
            class_names: (C,) names of the classes, for `Audit.to_frame`.

        Raises:
            ArgumentError: before `fit`, or with a data set for X and no labels.
        """
        loss = getattr(getattr(self, "criterion_", None), "loss", None)
        if loss is None:
            raise ArgumentError("the net was not fitted yet: call fit first")
        labels = getattr(self, "labels_", None) if labels is None else labels
        if labels is None:
            raise ArgumentError(
                "fit was given no y, so the labels are not known here: pass labels, in order of the rows"
            )
        return loss.audit(labels, score=score, class_names=class_names)


class _Whole(Dataset):
    """A Subset as a data set of its own, so that the rows are those that `fit` was given."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int) -> Any:
        return self.dataset[position]


class _RowBatch(tuple):
    """(inputs, labels), as skorch and its callbacks expect, with the rows beside."""

    index: Tensor


class _CollateRows:
    """Batches (inputs, labels) as they would be without rows, and the rows."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        return [self.collate([item[:-1] for item in items]), torch.tensor([item[-1] for item in items])]


class _RowLoader:
    """Goes through a loader whose batches have their rows beside them."""

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[_RowBatch]:
        for pair, index in self.loader:
            batch = _RowBatch(pair)
            batch.index = index
            yield batch


def _class_numbers(y: Any) -> np.ndarray:
    """The labels as int64, refused where they are none."""
    found = np.asarray(to_numpy(y)) if isinstance(y, Tensor) else np.asarray(y)
    if found.dtype.kind not in "iu" or found.ndim != 1 or not len(found):
        raise ArgumentError(
            f"y has dtype {found.dtype} and shape {found.shape}: expected class numbers 0 ... C - 1, (N,); "
            "scikit-learn's LabelEncoder makes them of names"
        )
    if found.min() < 0:
        raise ArgumentError(f"y has {found.min()}: expected class numbers 0 ... C - 1")
    return found.astype(np.int64)


def _refuse_probs(outputs: Tensor) -> None:
    sums = outputs.detach().double().sum(dim=1)
    if bool((outputs >= 0).all()) and bool(((sums - 1.0).abs() < 1e-4).all()):
        raise ArgumentError(
            "the module gives probabilities (no number below 0, rows that sum to 1): expected logits; leave out the "
            "softmax at its end, predict_proba applies it"
        )
