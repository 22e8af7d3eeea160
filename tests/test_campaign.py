"""The slice of the fault campaign that every change is held to; the whole of it is scripts/campaign."""

import pytest

from campaign.__main__ import areas, load, run_trial

TRIALS = {f"{each.area}: {each.name}": each for each in load(areas()) if each.quick}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", TRIALS)
def test_what_goes_wrong_is_told_or_mended(name, tmp_path):
    found = run_trial(TRIALS[name], 0, tmp_path)
    if found["outcome"] == "not here":
        pytest.skip(str(found["words"]))
    assert found["outcome"] == "passed", found["words"]
