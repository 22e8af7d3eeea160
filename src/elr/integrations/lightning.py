"""ELR in Lightning: a callback that carries the loss, its targets and the row numbers, `pip install '.[lightning]'`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import distributed as dist
from torch.utils.data import DataLoader

from elr.audit.label_quality import Audit
from elr.checking import checked
from elr.data.indexed import IndexedDataset, is_indexed
from elr.errors import ArgumentError, CheckpointError
from elr.methods.loss.elr_loss import ELRLoss

if TYPE_CHECKING:
    Callback: Any
else:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        try:
            from pytorch_lightning import Callback
        except ImportError as error:
            raise ImportError("elr.integrations.lightning needs Lightning: pip install '.[lightning]'") from error


class ELRCallback(Callback):
    """ELR for a `LightningModule`: `self.elr_loss(logits, labels, index)` in its `training_step`.

    In `fit`, batches of the training data get their row numbers, (inputs, labels) becomes (inputs, labels, index) and a
    dict one more key, wherever the DataLoader comes from (the module, a datamodule, or `fit` itself); data that have
    them by `elr.with_index` stay as they are. Validation, sanity check, test and prediction have the batches that they
    had, and targets stand still in them. Targets are in every checkpoint, as the state of this callback, and come back
    by `ckpt_path`; the weights in a checkpoint are the module's alone. With several processes the rows of all count as
    one batch, and each process has all targets.

    Args:
        num_classes: C >= 2.
        lam: see `elr.methods.loss.elr_loss.ELRLoss`.
        beta: see there.
        clamp: see there.
        name: attribute of the module that is the loss. Default "elr_loss".
        index_name: key of the row number where batches are dicts. Default "index".

    Attributes:
        loss: the `ELRLoss`, when training has begun.

    Raises:
        ArgumentError: a setting out of range; in `fit`, training data without rows or of several loaders, or a module
            that has an attribute of that name.
        CheckpointError: a checkpoint of other data.

    Example:
        >>> import torch, warnings
        >>> from lightning.pytorch import LightningModule, Trainer
        >>> from torch.utils.data import TensorDataset
        >>> class Net(LightningModule):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layer = torch.nn.Linear(1, 2)
        ...
        ...     def training_step(self, batch, _):
        ...         inputs, labels, index = batch
        ...         return self.elr_loss(self.layer(inputs), labels, index)
        ...
        ...     def configure_optimizers(self):
        ...         return torch.optim.SGD(self.parameters(), lr=0.1)
        >>> inputs = torch.tensor([[-9.0], [-8.0], [-7.0], [8.0], [9.0], [-9.0]])
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])  # the last one is wrong
        >>> elr_callback = ELRCallback(num_classes=2)
        >>> quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
        ...          "enable_model_summary": False}
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     trainer = Trainer(max_epochs=9, accelerator="cpu", callbacks=[elr_callback], **quiet)
        ...     trainer.fit(Net(), DataLoader(TensorDataset(inputs, labels), batch_size=6))
        >>> elr_callback.audit(labels).ranking[0]
        np.int64(5)
    """

    @checked
    def __init__(
        self,
        num_classes: int,
        *,
        lam: float = 3.0,
        beta: float = 0.7,
        clamp: float = 1e-4,
        name: str = "elr_loss",
        index_name: str = "index",
    ) -> None:
        super().__init__()
        ELRLoss(1, num_classes, lam=lam, beta=beta, clamp=clamp)  # refuses settings out of range at once
        self.num_classes = num_classes
        self.settings = {"lam": lam, "beta": beta, "clamp": clamp}
        self.name = name
        self.index_name = index_name
        self.loss: ELRLoss | None = None
        self.saved: dict[str, Any] | None = None  # of a checkpoint, until the data are known

    def audit(self, labels: Any, *, score: str | None = None, class_names: Sequence[Any] | None = None) -> Audit:
        """Which given labels the targets contradict; see `elr.methods.loss.elr_loss.ELRLoss.audit`.

        Args:
            labels: (N,) given labels, in order of the rows.
            score: see there.
            class_names: see there.

        Raises:
            ArgumentError: before training, or see there.
        """
        if self.loss is None:
            raise ArgumentError("there are no targets yet: call the trainer's fit with this callback first")
        return self.loss.audit(labels, score=score, class_names=class_names)

    # What Lightning calls

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage != "fit":
            return
        known = getattr(pl_module, self.name, self.loss)
        if known is not self.loss:
            raise ArgumentError(
                f"the module has {self.name!r} already: choose another name for the loss, ELRCallback(name=...)"
            )
        self._number_rows(trainer, pl_module)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        if self.loss is not None and not self.loss.training:  # also after a validation in the middle of an epoch
            self.loss.train()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        self._stand_still()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        self._stand_still()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ARG002
        pl_module.__dict__.pop(self.name, None)
        if self.loss is not None:
            self.loss.targets.distribute(None)

    def state_dict(self) -> dict[str, Any]:
        return self.saved or {} if self.loss is None else dict(self.loss.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.saved = dict(state_dict)
        if self.loss is not None:
            self._restore(self.loss)

    # What it does

    def _number_rows(self, trainer: Any, pl_module: Any) -> None:
        """Have the training batches carry their rows, from wherever Lightning takes its DataLoader."""
        source = trainer.fit_loop._data_source  # nothing public says where the data come from
        owner = source.instance
        if not source.is_module():
            source.instance = self._begin(owner, trainer, pl_module)
            return
        given = owner.train_dataloader

        def train_dataloader() -> Any:
            return self._begin(given(), trainer, pl_module)

        if not getattr(given, "numbers_rows", False):
            train_dataloader.numbers_rows = True  # type: ignore[attr-defined]
            owner.train_dataloader = train_dataloader

    def _begin(self, loader: Any, trainer: Any, pl_module: Any) -> Any:
        """The loader with row numbers; the loss, where this is the first time."""
        indexed = _with_rows(loader, self.index_name)
        count = _num_examples(indexed.dataset)
        if self.loss is not None and self.loss.targets.num_examples != count:
            raise ArgumentError(
                f"the training data have {count} rows, and the targets of this callback are of "
                f"{self.loss.targets.num_examples}: expected the same data; take a new ELRCallback for others"
            )
        if self.loss is None:
            self.loss = ELRLoss(count, self.num_classes, **self.settings)
            self._stand_still()
        if self.saved is not None:
            self._restore(self.loss)
        self.loss.to(trainer.strategy.root_device)
        several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        self.loss.targets.distribute(dist.group.WORLD if several else None)
        pl_module.__dict__[self.name] = self.loss  # not a submodule: weights are saved without targets
        return indexed

    def _restore(self, loss: ELRLoss) -> None:
        saved, self.saved = self.saved, None
        try:
            loss.load_state_dict(saved or {})
        except (ArgumentError, RuntimeError) as error:
            raise CheckpointError(
                f"the targets in the checkpoint do not fit these training data ({error}): resume with the data that "
                "the checkpoint is of"
            ) from error

    def _stand_still(self) -> None:
        if self.loss is not None:
            self.loss.eval()


def _with_rows(loader: Any, index_name: str) -> DataLoader:
    """The same loader over the same data with row numbers: a copy, the original is left as it is."""
    if not isinstance(loader, DataLoader):
        raise ArgumentError(
            f"the training data come as {type(loader).__name__}: expected a DataLoader of PyTorch, one, whose batches "
            "are numbered; several loaders cannot share one table of targets"
        )
    if is_indexed(loader.dataset):
        return loader
    indexed = IndexedDataset(loader.dataset, name=index_name)
    found = copy.copy(loader)
    # Lightning makes the loader again, with another sampler, from the arguments that it has noted of it.
    for name, value in list(vars(found).items()):
        if value is loader.dataset:
            found.__dict__[name] = indexed
        elif name == "__pl_saved_args":
            found.__dict__[name] = tuple(indexed if each is loader.dataset else each for each in value)
        elif name == "__pl_saved_kwargs":
            found.__dict__[name] = {key: indexed if each is loader.dataset else each for key, each in value.items()}
    return found


def _num_examples(dataset: Any) -> int:
    while not isinstance(dataset, IndexedDataset):
        dataset = dataset.dataset  # a Subset of numbered data
    return dataset.num_examples
