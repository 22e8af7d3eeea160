import pytest

from elr.errors import CheckpointError
from elr.runs.study import complete_trials, opened, quiet, writing_study

optuna = pytest.importorskip("optuna")


def test_finished_trials_are_kept_and_interrupted_ones_fail(tmp_path):
    path = tmp_path / "tuning.sqlite"
    with quiet():
        with opened(path, {"seed": 0}) as study, writing_study():
            study.tell(study.ask(), 0.5)
            study.ask()
        with opened(path, {"seed": 0}) as study:
            assert [trial.value for trial in complete_trials(study)] == [0.5]
            assert study.get_trials()[1].state == optuna.trial.TrialState.FAIL


def test_a_search_of_other_settings_or_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "tuning.sqlite"
    with quiet():
        with opened(path, {"seed": 0}):
            pass
        other = opened(path, {"seed": 1})
        with pytest.raises(CheckpointError, match="other data or settings: seed was 0, now 1; repeat"), other:
            pass
        path.write_bytes(b"no database at all, but long enough to be read as one" * 100)
        with pytest.raises(CheckpointError, match="cannot be read"), opened(path, {"seed": 0}):
            pass
