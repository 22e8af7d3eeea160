"""NoisyNER on small files as prepare_data.py writes them; the published ones cannot be had here."""

import random

import numpy as np
import pytest

from elr.datasets.checking import OK, PROBLEM, WARNING, check
from elr.datasets.sets.noisyner import TAGS, NoisyNER, WordsInSentences
from elr.errors import ArgumentError, DataError

# Sentences of (word, features, clean tag, given tag); None ends a document.
SENTENCES = {
    "train": [
        [("Tallinna", "B-LOC", "B-LOC"), ("õhusaaste", "O", "B-ORG"), ("suureneb", "O", "O"), (".", "O", "O")],
        None,
        [("Arnold", "B-PER", "B-PER"), ("Rüütel", "I-PER", "O"), ("--", "O", "O")],
    ],
    "dev": [[("Eesti", "B-LOC", "B-ORG"), ("Pank", "O", "I-ORG")]],
    "test": [[("Läti", "B-LOC", "O")], [("ja", "O", "B-PER"), ("Leedu", "I-LOC", "B-LOC")]],
}


def lines_of(sentences, *, clean):
    lines = []
    for sentence in sentences:
        if sentence is None:
            lines.append("--" if clean else "")
            continue
        lines += [f"{word}\t{word}+0\t_S_ sg n\t{right if clean else given}" for word, right, given in sentence]
        lines.append("")
    return "".join(f"{line}\n" for line in lines)


def make(root, *, label_set=1, sentences=None):
    root.mkdir(parents=True, exist_ok=True)
    for name, part in (sentences or SENTENCES).items():
        (root / f"estner_clean_{name}.tsv").write_text(lines_of(part, clean=True), encoding="utf-8")
        (root / f"NoisyNER_labelset{label_set}_{name}.tsv").write_text(lines_of(part, clean=False), encoding="utf-8")
    return root


def tags(labels):
    return [TAGS[label] for label in labels]


@pytest.mark.parametrize("below", ["", "data"])
def test_contents(tmp_path, below):
    make(tmp_path / below)
    opened = NoisyNER().open(tmp_path)
    assert opened.class_names == ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
    assert list(opened.parts) == ["train", "validation", "test"]
    train, validation, test = opened.parts.values()
    assert list(train.texts) == [
        "[Tallinna] õhusaaste suureneb .",
        "Tallinna [õhusaaste] suureneb .",
        "Tallinna õhusaaste [suureneb] .",
        "Tallinna õhusaaste suureneb [.]",
        "[Arnold] Rüütel --",
        "Arnold [Rüütel] --",
        "Arnold Rüütel [--]",
    ]
    assert tags(train.labels) == ["B-LOC", "B-ORG", "O", "O", "B-PER", "O", "O"]
    assert tags(train.clean_labels) == ["B-LOC", "O", "O", "O", "B-PER", "I-PER", "O"]
    assert train.noise_rate == pytest.approx(2 / 7)
    assert train.labels.dtype == np.int64
    assert list(validation.texts) == ["[Eesti] Pank", "Eesti [Pank]"]
    assert (tags(validation.labels), tags(validation.clean_labels)) == (["B-ORG", "I-ORG"], ["B-LOC", "O"])
    assert list(test.texts) == ["[Läti]", "[ja] Leedu", "ja [Leedu]"]
    assert (tags(test.labels), test.clean_labels) == (["B-LOC", "O", "I-LOC"], None)


@pytest.mark.parametrize("label_set", range(1, 8))
def test_each_label_set_has_its_files(tmp_path, label_set):
    make(tmp_path, label_set=label_set)
    assert len(NoisyNER(label_set=label_set).open(tmp_path).parts["train"]) == 7
    other = label_set % 7 + 1
    with pytest.raises(
        DataError, match=rf"missing NoisyNER_labelset{other}_train\.tsv \(label set {other} of the train"
    ):
        NoisyNER(label_set=other).open(tmp_path)


@pytest.mark.parametrize("label_set", [0, 8, "1", 1.5])
def test_unknown_label_set(label_set):
    with pytest.raises(ArgumentError, match=r"label_set is .*: expected 1 to 7"):
        NoisyNER(label_set=label_set)


def test_windows_lines_small_letters_and_no_last_newline(tmp_path):
    make(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n").replace(b"B-LOC", b"b-loc").rstrip(b"\r\n"))
    train = NoisyNER().open(tmp_path).parts["train"]
    assert tags(train.labels) == ["B-LOC", "B-ORG", "O", "O", "B-PER", "O", "O"]
    assert train.texts[6] == "Arnold Rüütel [--]"


def test_strange_spaces_stay_in_words(tmp_path):
    words = [("a\u2028b", "O", "O"), ("c\x85d", "O", "O"), ("e f", "O", "O")]
    opened = NoisyNER().open(make(tmp_path, sentences=SENTENCES | {"dev": [words]}))
    assert opened.parts["validation"].texts[1] == "a\u2028b [c\x85d] e f"


def test_two_columns_are_enough(tmp_path):
    make(tmp_path)
    (tmp_path / "estner_clean_dev.tsv").write_text("Eesti\tB-LOC\nPank\tO\n")
    assert tags(NoisyNER().open(tmp_path).parts["validation"].clean_labels) == ["B-LOC", "O"]


def test_texts_are_a_sequence():
    generator = random.Random(0)
    sentences = [[f"w{row}.{place}" for place in range(generator.randrange(1, 6))] for row in range(50)]
    words = [word for sentence in sentences for word in sentence]
    starts = np.cumsum([0] + [len(sentence) for sentence in sentences[:-1]]).tolist()
    texts = WordsInSentences(words, starts)
    expected = [
        " ".join([*sentence[:place], f"[{word}]", *sentence[place + 1 :]])
        for sentence in sentences
        for place, word in enumerate(sentence)
    ]
    assert list(texts) == expected
    assert (texts[-1], texts[3:9:2], texts[np.int64(4)]) == (expected[-1], expected[3:9:2], expected[4])
    with pytest.raises(IndexError):
        texts[len(words)]


# Bad input


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Eesti\tEesti+0\t_H_ sg n\tB-GPE", r"has 'Eesti\\tEesti\+0\\t_H_ sg n\\tB-GPE' in line 1"),
        ("Eesti\tEesti+0\t_H_ sg n", "in line 1"),
        ("Eesti", "has 'Eesti' in line 1"),
        ("Eesti\t", "in line 1"),
    ],
)
@pytest.mark.parametrize("file", ["estner_clean_dev.tsv", "NoisyNER_labelset1_dev.tsv"])
def test_lines_without_a_tag(tmp_path, line, shown, file):
    path = make(tmp_path) / file
    path.write_text(line + "\n" + path.read_text())
    with pytest.raises(DataError, match=rf"{file} {shown if shown.startswith('has') else 'has .* ' + shown}: expected"):
        NoisyNER().open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n\n--\n"])
def test_files_without_words(tmp_path, content):
    (make(tmp_path) / "NoisyNER_labelset1_test.tsv").write_bytes(content)
    with pytest.raises(DataError, match=r"labelset1_test\.tsv has no words: expected a line for each"):
        NoisyNER().open(tmp_path)


def test_text_that_is_not_utf8(tmp_path):
    path = make(tmp_path) / "estner_clean_train.tsv"
    path.write_bytes(path.read_text().encode("latin-1"))
    with pytest.raises(DataError, match=r"estner_clean_train\.tsv is not UTF-8 text \(.* at byte \d+\)"):
        NoisyNER().open(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace("Eesti", "Soome"), "word 1 is 'Soome' there and 'Eesti' here"),
        (lambda text: "".join(text.splitlines(keepends=True)[1:]), "1 words, .* has 2; word 1 is 'Pank' there"),
        (
            lambda text: "".join(text.splitlines(keepends=True)[:1]),
            "1 words, .* has 2; word 2 is no word there and 'Pank'",
        ),
        (lambda text: text + "veel\tO\n", "3 words, .* has 2; word 3 is 'veel' there and no word here"),
        (lambda text: "".join(text.splitlines(keepends=True)[1::-1]), "word 1 is 'Pank' there and 'Eesti' here"),
    ],
)
def test_files_of_other_words_or_order(tmp_path, change, reason):
    path = make(tmp_path) / "NoisyNER_labelset1_dev.tsv"
    path.write_text(change(path.read_text()))
    with pytest.raises(
        DataError, match=rf"labelset1_dev\.tsv has .*{reason}.*: expected the same words in the same order"
    ):
        NoisyNER().open(tmp_path)


# Checked


def test_check(tmp_path):
    report = check(NoisyNER(), make(tmp_path))
    assert report.usable
    assert report.examples == {"train": 7, "validation": 2, "test": 3}
    found = {level: [finding.text for finding in report.findings if finding.level == level] for level in (OK, WARNING)}
    assert found[WARNING] == [
        f"{tmp_path}/estner_clean_train.tsv has 10 lines, published were 185,708",
        f"{tmp_path}/estner_clean_dev.tsv has 3 lines, published were 23,214",
    ]
    assert "train: 28.6% of the given labels are not the clean ones" in found[OK]


def test_as_many_lines_as_published_are_not_remarked(tmp_path):
    part = [[(str(row), "O", "O") for row in range(23_213)]]
    remarks = NoisyNER().open(make(tmp_path, sentences=SENTENCES | {"dev": part})).remarks
    assert len(remarks) == 1
    assert "estner_clean_train.tsv has 10 lines" in remarks[0]


def test_check_names_what_is_missing(tmp_path):
    (make(tmp_path / "data", label_set=3) / "NoisyNER_labelset3_dev.tsv").unlink()
    problems = [f.text for f in check(NoisyNER(label_set=3), tmp_path).findings if f.level == PROBLEM]
    assert problems == [
        "missing: label set 3 of the validation part; expected NoisyNER_labelset3_dev.tsv or "
        "data/NoisyNER_labelset3_dev.tsv; get it from https://github.com/uds-lsv/NoisyNER, whose prepare_data.py "
        "writes it from estner.cnll of https://doi.org/10.15155/1-00-0000-0000-0000-00073L, or from "
        "https://huggingface.co/datasets/phucdev/noisyner"
    ]
