"""The Hugging Face Trainer with the loss of ELR: `ELRTrainer`, and a mixin for Trainers of one's own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch import distributed as dist

from elr.data.labels.spelling import Label
from elr.errors import ArgumentError, optional
from elr.integrations.hugging_face.memory import Memory
from elr.integrations.hugging_face.numbered import INDEX, NumberedCollator, NumberedDataset, check_map_style
from elr.methods.elr import ELRConfig
from elr.methods.loss.elr_loss import ELRLoss
from elr.targets.dense import DenseTargets

if TYPE_CHECKING:
    from transformers import Trainer

    _Mixed = Trainer
else:
    Trainer = optional("transformers", "elr.integrations.hugging_face", extra="huggingface").Trainer
    _Mixed = object

_LABELS = ("labels", "label", "label_ids")


class ELRTrainerMixin(_Mixed):
    """Gives a Trainer the loss of ELR, row numbers, targets in its checkpoints, and an audit.

    Write it before the Trainer: `class MyTrainer(ELRTrainerMixin, Trainer)`. What the Trainer does itself stays,
    `compute_loss` in training excepted; how it is used, and what is refused, is with `ELRTrainer`.

    Args:
        args: as the Trainer takes them.
        lam: weight of the regularizer, as `elr.ELRLoss`; default 3.
        beta: momentum of the targets, as there; default 0.7.
        clamp: as there; default 1e-4.
        elr: instead of these, an `elr.ELRConfig` of lam, beta and clamp, or an `elr.ELRLoss` made for the training set.
        kwargs: as the Trainer takes them.

    Raises:
        ArgumentError: a setting out of range, or what ELR cannot learn from; see `ELRTrainer`.

    Example:
        >>> from transformers import Trainer
        >>> class Polite(ELRTrainerMixin, Trainer):
        ...     def log(self, logs, *args):
        ...         super().log({"please": 1.0, **logs}, *args)
        >>> [each.__name__ for each in Polite.__mro__[1:3]]
        ['ELRTrainerMixin', 'Trainer']
    """

    loss_is_scaled_for_ga = True  # of gradient accumulation: `compute_loss` takes the mean over the whole of a step

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        before = cls.__mro__[1 : cls.__mro__.index(ELRTrainerMixin)]
        if Trainer in before:
            raise ArgumentError(
                f"{cls.__name__} has {before[0].__name__} before ELRTrainerMixin, so that ELR would never be asked: "
                f"write class {cls.__name__}(ELRTrainerMixin, {before[0].__name__})"
            )

    def __init__(
        self,
        *args: Any,
        lam: float | None = None,
        beta: float | None = None,
        clamp: float | None = None,
        elr: ELRConfig | ELRLoss | None = None,
        **kwargs: Any,
    ) -> None:
        given = {name: value for name, value in (("lam", lam), ("beta", beta), ("clamp", clamp)) if value is not None}
        self._handed_in = elr if isinstance(elr, ELRLoss) else None
        self.elr_config = _config(elr, given)
        self._memory: Memory | None = None
        self._trained_on: Any = None
        self._rows_in_step = 0
        self._in_training_step = False
        super().__init__(*args, **kwargs)
        self._refuse_other_losses()
        if self.train_dataset is not None:
            check_map_style(self.train_dataset)

    @property
    def elr_loss(self) -> ELRLoss | None:
        """The loss with its targets, as training made it; None before."""
        return self._handed_in if self._memory is None else self._memory.loss

    def audit(self, *, score: str | None = None) -> pd.DataFrame:
        """The table of suspect labels, the most suspect first; of the rows that were trained on.

        Under several processes each has the whole of it, and any of them may ask.

        Args:
            score: which label_quality, as in `elr.audit_labels`: "margin" (default) or "self_confidence".

        Returns:
            Columns as in issues.csv: row (of train_dataset), given_label, predicted_label, label_quality (low is
            suspect), is_label_issue, expected_precision. Classes have the names of `model.config.id2label`, or else
            those of the ClassLabel of the data set.

        Raises:
            ArgumentError: nothing was trained yet, or "calibrated" or "aum", which need what a Trainer does not keep.
        """
        if score not in (None, "margin", "self_confidence"):
            raise ArgumentError(f'score is {score!r}: expected "margin" or "self_confidence"')
        if self._memory is None:
            raise ArgumentError("nothing was trained yet, and so there is nothing to audit: call train() first")
        return self._memory.audit(self._class_names(self._memory.loss.targets.num_classes), score=score)

    def get_train_dataloader(self) -> Any:
        """The loader of the Trainer, of whose batches each has its row numbers."""
        check_map_style(self.train_dataset)
        dataset, collator = self.train_dataset, self.data_collator
        rows: Any = dataset
        items = collator
        if _is_hub_dataset(dataset):
            rows = self._remove_unused_columns(rows, description="training")
        else:
            items = self._get_collator_with_removed_columns(collator, description="training")
        self.train_dataset, self.data_collator = NumberedDataset(rows), NumberedCollator(items)
        try:
            return super().get_train_dataloader()
        finally:
            self.train_dataset, self.data_collator = dataset, collator

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """The sampler is made for the data set as it is: grouped by length, it looks for a column of lengths."""
        numbered = self.train_dataset
        if not isinstance(numbered, NumberedDataset):
            return super()._get_train_sampler(train_dataset)
        self.train_dataset = numbered.dataset
        try:
            return super()._get_train_sampler(numbered.dataset)
        finally:
            self.train_dataset = numbered

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """The batches of a step; how many rows they have on all ranks is what its loss is the mean of."""
        batches, num_items = super().get_batch_samples(*args, **kwargs)
        rows = sum(len(batch[INDEX]) for batch in batches if INDEX in batch)
        if self.accelerator.num_processes > 1:
            count = torch.tensor(rows, device=self.args.device)
            dist.all_reduce(count)
            rows = int(count)
        self._rows_in_step = rows
        return batches, num_items

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """A step of training: the only place where targets change."""
        del num_items_in_batch  # counted where the model asks for it only
        accepts = self.model_accepts_loss_kwargs
        self._in_training_step = self.model_accepts_loss_kwargs = True  # the latter: the loss is scaled already
        try:
            return super().training_step(model, inputs, self._rows_in_step)
        finally:
            self._in_training_step, self.model_accepts_loss_kwargs = False, accepts

    def compute_loss(
        self, model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """In a step of training the loss of ELR; elsewhere that of the model, and targets stay as they are."""
        inputs = dict(inputs)
        index = inputs.pop(INDEX, None)
        if not self._in_training_step:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if index is None:
            raise ArgumentError(
                "a batch of training has no row numbers: get_train_dataloader() of your Trainer makes a loader of its "
                "own; let it call super().get_train_dataloader(), or make the loader of "
                "NumberedDataset(dataset) and NumberedCollator(collator) (elr.integrations.hugging_face.numbered)"
            )
        if self._memory is None:
            raise ArgumentError("training_step() was called outside of train(): call train()")
        labels = self._popped_labels(inputs)
        outputs = model(**inputs)
        logits = self._logits(outputs, len(index))
        if self._memory.labels.device != logits.device:
            self._memory.to(logits.device)
        rows = max(1, self._rows_in_step)
        share = len(index) * self.accelerator.num_processes / rows  # ranks average their gradients
        loss = self._memory.learn(logits, labels, index) * share
        return (loss, outputs) if return_outputs else loss

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As the Trainer; a checkpoint has the targets as well, before it counts as one."""
        super().save_model(output_dir, _internal_call)
        if _internal_call and output_dir is not None and self._memory is not None:
            self._memory.settle()
            if self.args.should_save:
                Path(output_dir).mkdir(parents=True, exist_ok=True)
                self._memory.save(Path(output_dir))

    def _inner_training_loop(self, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """As the Trainer; before, targets are made or taken back, after it all ranks know all labels."""
        checkpoint = kwargs.get("resume_from_checkpoint")
        self._refuse_other_losses()
        memory = self._begin(resume=checkpoint is not None)
        if checkpoint is not None:
            memory.load(Path(checkpoint))
        found = super()._inner_training_loop(batch_size, *args, **kwargs)
        memory.settle()
        return found

    def _begin(self, *, resume: bool) -> Memory:
        """The memory of this training set: that of before where the model goes on, on the same data."""
        check_map_style(self.train_dataset)
        same_data, same_model = self._trained_on is self.train_dataset, resume or self.model_init is None
        if self._memory is None or not (same_data and same_model):
            self._memory = Memory(self._new_loss(len(self.train_dataset)))  # pyright: ignore[reportArgumentType]
            self._trained_on = self.train_dataset
            self._memory.to(self.args.device)
        group = dist.group.WORLD if self.accelerator.num_processes > 1 else None
        self._memory.loss.targets.distribute(group)
        return self._memory

    def _new_loss(self, count: int) -> ELRLoss:
        classes = self._num_classes()
        if self._handed_in is None:
            settings = {name: getattr(self.elr_config, name) for name in ("lam", "beta", "clamp")}
            return ELRLoss(num_examples=count, num_classes=classes, targets=DenseTargets(count, classes), **settings)
        if self._memory is not None:
            raise ArgumentError(
                "the ELRLoss that was handed in holds targets of the training before, and the training set or the "
                "model is a new one: hand in settings (lam, beta, clamp) instead, or make a new Trainer"
            )
        targets = self._handed_in.targets
        if (targets.num_examples, targets.num_classes) != (count, classes):
            raise ArgumentError(
                f"the ELRLoss is for {targets.num_examples} rows of {targets.num_classes} classes, the training set "
                f"has {count} rows and the model {classes} classes: make it for these"
            )
        return self._handed_in

    def _num_classes(self) -> int:
        config = getattr(self.model, "config", None)
        count = getattr(config, "num_labels", None) or getattr(self.model, "num_labels", None)
        if not isinstance(count, int):
            raise ArgumentError(
                f"{type(self.model).__name__} does not say how many classes it has: expected model.config.num_labels "
                "or model.num_labels; set it"
            )
        if count < 2:
            raise ArgumentError(f"the model has num_labels {count}: expected 2 classes or more; ELR is for classes")
        return count

    def _refuse_other_losses(self) -> None:
        """Refuse what would have to be in the loss, or is about something else than one class for each row."""
        problem = getattr(getattr(self.model, "config", None), "problem_type", None)
        if self.args.label_smoothing_factor:
            raise ArgumentError(
                f"label_smoothing_factor is {self.args.label_smoothing_factor}: expected 0; the targets of ELR soften "
                "labels where that is called for, and smoothed ones would hide which label was given"
            )
        if getattr(self, "compute_loss_func", None) is not None:
            raise ArgumentError(
                "compute_loss_func is set, and the loss is ELR's: leave it out, or use a loop of your own with "
                "elr.ELRLoss"
            )
        if problem not in (None, "single_label_classification"):
            raise ArgumentError(
                f"the model's problem_type is {problem!r}: ELR is for one class for each row "
                "(single_label_classification)"
            )
        if self.args.label_names is not None and len(self.args.label_names) != 1:
            raise ArgumentError(f"label_names are {self.args.label_names}: expected one, of the class of each row")
        if getattr(self._handed_in, "alignment", None) is not None:
            raise ArgumentError("the ELRLoss has class_shares, and no Trainer calls realign(): make it without them")

    def _popped_labels(self, inputs: dict[str, Any]) -> Tensor:
        """The labels of a batch, which the model is not to see: its own loss would be for nothing."""
        names = [*(self.args.label_names or ()), *_LABELS]
        name = next((name for name in names if inputs.get(name) is not None), None)
        if name is None:
            raise ArgumentError(
                f"a batch of training has no labels, but {', '.join(inputs)}: name their column 'label' or 'labels', "
                "or name it in TrainingArguments(label_names=[...])"
            )
        labels = inputs.pop(name)
        if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.is_floating_point() or labels.is_complex():
            found = f"{tuple(labels.shape)} {labels.dtype}" if isinstance(labels, Tensor) else type(labels).__name__
            raise ArgumentError(
                f"{name} of a batch are {found}: expected class numbers (B,), one for each row; soft labels, several "
                "labels of a row, and labels of tokens are not for ELR's Trainer"
            )
        return labels.long()

    def _logits(self, outputs: Any, count: int) -> Tensor:
        logits = outputs.get("logits") if isinstance(outputs, dict) else outputs
        if isinstance(logits, list | tuple):
            logits = logits[0]
        classes = self._num_classes()
        if not isinstance(logits, Tensor) or tuple(logits.shape) != (count, classes):
            found = f"of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
            raise ArgumentError(
                f"the logits of {type(self.model).__name__} are {found}: expected ({count}, {classes}), a row for each "
                "row of the batch and a column for each class; take a model for the classification of sequences or "
                "images"
            )
        return logits

    def _class_names(self, count: int) -> list[Label]:
        """Names of the model's configuration if someone gave them, else of the data set, else as the model numbers."""
        named = getattr(getattr(self.model, "config", None), "id2label", None) or {}
        names = [str(named.get(number, number)) for number in range(count)]
        if any(name not in (str(number), f"LABEL_{number}") for number, name in enumerate(names)):
            return list(names)
        features = getattr(self._trained_on, "features", None) or {}
        columns = [*(self.args.label_names or ()), *_LABELS]
        found = next((features[column] for column in columns if column in features), None)
        of_data = getattr(found, "names", None) or []
        return list(of_data) if len(of_data) == count else list(names)


class ELRTrainer(ELRTrainerMixin, Trainer):
    """The Hugging Face Trainer, learning from partly wrong labels, which `audit` then tells apart.

    Used as `transformers.Trainer`. In training the loss is `elr.ELRLoss`, the mean over all rows of an optimizer step
    (of all accumulated batches, on all processes); `evaluate` and `predict` have the model's own loss and leave targets
    alone. Row numbers are the rows of `train_dataset`: they ride beside its items, past `remove_unused_columns` and the
    data collator. Every checkpoint has the targets (elr_targets.pt, N * C * 4 bytes and 8 for each label), and
    `resume_from_checkpoint` takes them back. Under several processes all ranks have all targets.

    A second `train()` on the same data set goes on with the targets that there are; with another data set, or a new
    model by `model_init`, they begin anew.

    Args:
        args: as `transformers.Trainer`.
        lam: weight of the regularizer, >= 0. Default 3.
        beta: momentum of the targets in [0, 1). Default 0.7.
        clamp: see `elr.ELRLoss`. Default 1e-4.
        elr: instead of these, an `elr.ELRConfig` of these three, or an `elr.ELRLoss` made for the training set.
        kwargs: as `transformers.Trainer`.

    Raises:
        ArgumentError: a setting out of range; a data set without row numbers (a stream, a dict of splits); label
            smoothing, `compute_loss_func`, a model for several labels or for regression. From `train`: labels that are
            missing or no class numbers, logits of another shape.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from transformers import PretrainedConfig, PreTrainedModel, TrainingArguments
        >>> class Line(PreTrainedModel):
        ...     def __init__(self, config):
        ...         super().__init__(config)
        ...         self.layer = torch.nn.Linear(2, 2)
        ...         self.post_init()
        ...     def forward(self, x, labels=None):
        ...         return {"logits": self.layer(x)}
        >>> data = [{"x": [float(k % 2), float(1 - k % 2)], "labels": k % 2} for k in range(40)]
        >>> data[7]["labels"] = 0  # which was right as 1
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     quiet = {"disable_tqdm": True, "report_to": "none", "save_strategy": "no", "logging_strategy": "no"}
        ...     args = TrainingArguments(folder, num_train_epochs=10, learning_rate=0.1, use_cpu=True, **quiet)
        ...     trainer = ELRTrainer(Line(PretrainedConfig(num_labels=2)), args, train_dataset=data)
        ...     trainer.callback_handler.callbacks.clear()  # which print
        ...     _ = trainer.train()
        >>> trainer.audit()[["row", "given_label", "predicted_label", "is_label_issue"]].head(1)
           row given_label predicted_label  is_label_issue
        0    7     LABEL_0         LABEL_1            True
    """


def _config(wanted: ELRConfig | ELRLoss | None, given: dict[str, float]) -> ELRConfig:
    """The settings that were asked for, by one way only."""
    if wanted is None:
        return ELRConfig(**given)  # type: ignore[arg-type]
    if not isinstance(wanted, ELRConfig | ELRLoss):
        raise ArgumentError(f"elr is a {type(wanted).__name__}: expected an elr.ELRConfig or an elr.ELRLoss")
    if given:
        raise ArgumentError(f"{', '.join(given)} and elr are both given: expected one of them, for it has these too")
    if isinstance(wanted, ELRLoss):
        return ELRConfig(lam=wanted.lam, beta=wanted.beta, clamp=wanted.clamp)
    plain = ELRConfig(lam=wanted.lam, beta=wanted.beta, clamp=wanted.clamp)
    if wanted != plain:
        rest, asked = asdict(plain), asdict(wanted)
        others = [f"{name} = {asked[name]!r}" for name in asked if asked[name] != rest[name]]
        raise ArgumentError(
            f"elr has {', '.join(others)}: a Trainer has lam, beta and clamp only; train with elr.fit for the others"
        )
    return wanted


def _is_hub_dataset(dataset: Any) -> bool:
    """Whether it is a `datasets.Dataset`, of which the Trainer removes columns itself."""
    return type(dataset).__module__.partition(".")[0] == "datasets"
