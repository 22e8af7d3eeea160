"""The file of a search for settings: an Optuna study in SQLite, opened, gone on with, and written to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elr import files
from elr.errors import CheckpointError, OutputError

if TYPE_CHECKING:
    import optuna

_STUDY, _IDENTITY = "elr", "identity"


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's own words on every study, which are for whoever calls it.

    Example:
        >>> import optuna
        >>> with quiet():
        ...     optuna.logging.get_verbosity() == optuna.logging.WARNING
        True
    """
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


@contextmanager
def opened(path: Path, identity: dict[str, Any]) -> Iterator[optuna.Study]:
    """The study in a file, new or to go on with; a trial that was interrupted counts as failed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, quiet():
        ...     with opened(Path(folder) / "tuning.sqlite", {"seed": 0}) as study:
        ...         len(complete_trials(study))
        0
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import QueuePool

    advice = "delete it to search anew, or choose another --out"
    known = path.exists()
    try:
        # Not as a URL, which has its own reading of question marks, braces and percent in the names of folders.
        connect = partial(sqlite3.connect, path, check_same_thread=False)
        storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": connect, "poolclass": QueuePool})
    except (SQLAlchemyError, RuntimeError) as error:
        if known:
            raise CheckpointError(f"{path} cannot be read ({_first_line(error)}): {advice}") from error
        raise OutputError(f"cannot write {path}: {_first_line(error)}; make room or choose another --out") from error
    try:
        with writing_study():
            study = optuna.create_study(storage=storage, study_name=_STUDY, direction="maximize", load_if_exists=True)
            if _IDENTITY not in study.user_attrs:
                study.set_user_attr(_IDENTITY, json.dumps(identity))
        before = json.loads(study.user_attrs[_IDENTITY])
        changed = files.differences(before, identity)
        if changed:
            raise CheckpointError(
                f"{path} is a search of other data or settings: {'; '.join(changed[:4])}; repeat its own command, "
                "or choose another --out"
            )
        with writing_study():
            for trial in study.get_trials(deepcopy=False):
                if not trial.state.is_finished():
                    study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def writing_study() -> Iterator[None]:
    """Turn a failure of the database into an OutputError.

    Example:
        >>> with writing_study():
        ...     pass  # what is said to the database here
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise OutputError(
            f"cannot write {files.TUNING_FILE}: {_first_line(error)}; make room or choose another place, then run "
            "again (with --resume to go on)"
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error.__cause__ or error).splitlines()[0]


def complete_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The finished trials, oldest first.

    Example:
        >>> import optuna
        >>> with quiet():
        ...     study = optuna.create_study()
        ...     _ = study.tell(study.ask(), 0.5)
        >>> len(complete_trials(study))
        1
    """
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
