import pytest

from elr.audit.handover.row_source import RowSource, without_controls
from elr.errors import ArtifactError


def test_a_damaged_run_is_said():
    with pytest.raises(ArtifactError, match="damaged"):
        RowSource.of({"data": {}})


def test_pictures_are_named_from_the_folder_that_holds_them_all(noisy_images):
    found, contents = noisy_images["folder"]
    pictures = list(RowSource.of(found.run).pictures(found.evidence, range(4), tool="CVAT"))
    rows = found.evidence.rows[:4].tolist()
    assert [picture.read() for picture in pictures] == [contents[row][0] for row in rows]
    assert all(picture.name in found.evidence.ids[row] for row, picture in enumerate(pictures))
    assert len({picture.name for picture in pictures}) == 4


def test_characters_that_xml_forbids():
    assert without_controls("ok\t\N{SNOWMAN}\x0b\ufffe") == "ok\t\N{SNOWMAN}\ufffd\ufffd"
