"""Lists of ImageNet's classes and of images with their numbers."""

import pytest

from elr.datasets.readers.imagenet import LANDMARKS, class_name, listed_images, out_of_order, read_synsets
from elr.errors import DataError
from tiny_imagenet import SYNSETS, WORDS, synset_lines


def test_synsets_are_read_in_their_order(tmp_path):
    path = tmp_path / "synsets.txt"
    path.write_text(synset_lines())
    synsets = read_synsets(path)
    assert list(synsets) == SYNSETS
    assert synsets[LANDMARKS[49]] == class_name(LANDMARKS[49], WORDS[49])
    assert out_of_order(list(synsets), path) == []
    [remark] = out_of_order(list(synsets)[::-1], path)
    assert "are not in ImageNet's order" in remark
    path.write_text(synset_lines().replace(SYNSETS[1], SYNSETS[0]))
    with pytest.raises(DataError, match=r"line 2 of .* repeats .*: expected a synset such as n01440764, each once"):
        read_synsets(path)


def test_a_class_without_words_is_called_by_its_synset():
    assert class_name("n01440764", " ") == "n01440764"


def test_images_of_the_first_classes_are_kept(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"a.jpg 49\nb.jpg 50\nc.jpg 0\n")
    names, labels = listed_images(path, 50)
    assert names.to_pylist() == [b"a.jpg", b"c.jpg"]
    assert labels.tolist() == [49, 0]
    with pytest.raises(DataError, match=r"lists no image of classes 0 to -1 \(3 images in all\)"):
        listed_images(path, 0)
