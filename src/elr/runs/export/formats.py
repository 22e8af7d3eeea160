"""Files that hold an exported model: ONNX and torch.export; each is written and read again here."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from elr.errors import ArgumentError

OPSET = 18
"""Of the ONNX files."""
_EXTRA = ("onnx", "onnxruntime", "onnxscript")


class ModelFile(ABC):
    """A format of exported models.

    Example:
        >>> {name: form.suffix for name, form in FORMATS.items()}
        {'onnx': '.onnx', 'torch_export': '.pt2'}
    """

    suffix: ClassVar[str]
    says: ClassVar[Mapping[str, Any]]
    """What the file beside the model says of the format."""

    @abstractmethod
    def check(self) -> None:
        """Raise where a package is missing.

        Raises:
            ArgumentError: named, with the extra that has it.
        """

    @abstractmethod
    def made(
        self, model: nn.Module, inputs: Sequence[Tensor], *, names: Sequence[str], about: Mapping[str, str]
    ) -> Any:
        """The model in this format, in memory, with a batch of any size.

        Args:
            model: in eval mode, on the CPU.
            inputs: an example of its inputs, of at least two rows.
            names: of the inputs.
            about: what the file says of itself.
        """

    @abstractmethod
    def write(self, made: Any, path: Path) -> None:
        """Write what `made` gave."""

    @abstractmethod
    def probs(self, path: Path, inputs: Sequence[Tensor], *, names: Sequence[str]) -> Tensor:
        """(B, C) probabilities that a file gives for some rows."""


class Onnx(ModelFile):
    """ONNX, as ONNX Runtime reads it.

    Example:
        >>> Onnx().says
        {'format': 'onnx', 'opset': 18}
    """

    suffix, says = ".onnx", {"format": "onnx", "opset": OPSET}

    def check(self) -> None:
        missing = [name for name in _EXTRA if util.find_spec(name) is None]
        if missing:
            raise ArgumentError(f"ONNX needs {', '.join(missing)}, not installed: pip install 'elr[onnx]'")

    def made(
        self, model: nn.Module, inputs: Sequence[Tensor], *, names: Sequence[str], about: Mapping[str, str]
    ) -> Any:
        import onnx

        with _quiet():
            program = torch.onnx.export(
                model,
                tuple(inputs),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(names),
                output_names=["probs"],
                dynamic_shapes=_any_batch(inputs),
                verbose=False,
            )
            assert program is not None, "torch.onnx.export with dynamo gives a program"
            proto = program.model_proto
        onnx.helper.set_model_props(proto, dict(about))
        return proto

    def write(self, made: Any, path: Path) -> None:
        path.write_bytes(made.SerializeToString())

    def probs(self, path: Path, inputs: Sequence[Tensor], *, names: Sequence[str]) -> Tensor:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        feed = {name: each.numpy() for name, each in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(["probs"], feed)[0])


class TorchExport(ModelFile):
    """A program of torch.export, which torch.export.load reads without the code of elr.

    Example:
        >>> TorchExport().says["format"]
        'torch.export'
    """

    suffix, says = ".pt2", {"format": "torch.export", "torch": str(torch.__version__)}

    def check(self) -> None:
        pass  # it comes with PyTorch

    def made(
        self, model: nn.Module, inputs: Sequence[Tensor], *, names: Sequence[str], about: Mapping[str, str]
    ) -> Any:
        del names
        with _quiet():
            program = torch.export.export(model, tuple(inputs), dynamic_shapes=_any_batch(inputs))
        return program, dict(about)

    def write(self, made: Any, path: Path) -> None:
        program, about = made
        archive = io.BytesIO()  # PyTorch's own writer ends the whole process when a disk is full
        with _quiet():
            torch.export.save(program, archive, extra_files={"about.json": json.dumps(about, ensure_ascii=False)})
        path.write_bytes(archive.getbuffer())

    def probs(self, path: Path, inputs: Sequence[Tensor], *, names: Sequence[str]) -> Tensor:
        del names
        with _quiet(), path.open("rb") as handle, torch.no_grad():
            return torch.export.load(handle).module()(*inputs)


FORMATS: Mapping[str, ModelFile] = {"onnx": Onnx(), "torch_export": TorchExport()}
"""By the name of the option that asks for it."""


def _any_batch(inputs: Sequence[Tensor]) -> tuple[tuple[dict[int, Any], ...]]:
    batch = torch.export.Dim("batch")
    return (tuple({0: batch} for _ in inputs),)  # in a tuple: the model takes them as *inputs


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters print, log and warn of what is theirs."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
