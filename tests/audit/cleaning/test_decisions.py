"""A corrected copy has the labels that were decided, everything else as it was, and the original is untouched."""

import csv
import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

import elr
from elr.audit.cleaning.decisions import clean
from elr.cli.main import app
from elr.data.formats.parts import PartsFolder
from elr.data.records import ReadOptions
from elr.errors import ArtifactError, DataError, OutputError

QUICK = elr.FitConfig(epochs=1, batch_size=8)
NAMES = ['=HYPERLINK("http://evil.example")', "dog, the\r\nbig", " +cat'\t", "مرحبا\u200f"]


def rows(count: int = 24, names=NAMES) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "key": [f"k{i}" for i in range(count)],
            "x": rng.normal(size=count),
            "y": [names[i % len(names)] for i in range(count)],
            "code": [f"00{i % 3}" for i in range(count)],
        }
    )


def decide(run: Path, *wanted: tuple[int, str]) -> Path:
    """decisions.csv as the page writes it: row -> label."""
    issues = pd.read_csv(run / "issues.csv", keep_default_na=False, dtype=str)
    issues = issues.set_index(issues["row"].astype(int))
    path = run / "decisions.csv"
    with path.open("w", newline="", encoding="utf-8") as handle:
        out = csv.writer(handle)
        out.writerow(["row", "id", "given_label", "decision", "label"])
        for row, label in wanted:
            # pandas makes \n of \r\n in cells, but only there
            given = next(name for name in [*NAMES, label, issues["given_label"][row]] if _same(name, issues, row))
            decision = "keep" if given == label else "relabel"
            out.writerow([row, issues["id"][row] if "id" in issues else "", given, decision, label])
    return path


def _same(name: str, issues: pd.DataFrame, row: int) -> bool:
    return issues["given_label"][row] == name


def digest(path: Path) -> dict:
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    return {str(each): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def fitted(data, out: Path, **options) -> Path:
    elr.fit(data, out=out, config=QUICK, options=ReadOptions(**options))
    return out


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_table_of_text_keeps_every_other_line(tmp_path, suffix, ending):
    separator = {"csv": ",", "tsv": "\t"}[suffix]
    source = tmp_path / f"data.{suffix}"
    frame = rows()
    text = frame.to_csv(index=False, sep=separator, lineterminator=ending)
    lines = "\ufeff" + text.replace(f"k5{separator}", f'"k5"{separator}').replace("k7", f"{ending}k7") + ending
    source.write_text(lines, encoding="utf-8", newline="")
    run = fitted(source, tmp_path / "run", label="y", id="key")
    before = digest(source)
    out = tmp_path / f"clean.{suffix}"
    done = clean(run, decide(run, (3, NAMES[0]), (4, NAMES[1]), (5, NAMES[1]), (7, NAMES[2])), out)
    assert (done.num_decisions, done.num_changed) == (4, 3)
    assert digest(source) == before
    expected = frame.copy()
    expected.loc[[3, 4, 7], "y"] = [NAMES[0], NAMES[1], NAMES[2]]
    old, new = source.read_bytes(), out.read_bytes()
    assert new.startswith(b"\xef\xbb\xbfkey")
    with out.open(encoding="utf-8-sig", newline="") as handle:
        found = [row for row in csv.reader(handle, delimiter=separator) if row]
    assert [row[2] for row in found[1:]] == expected["y"].tolist()
    assert [row[3] for row in found[1:]] == expected["code"].tolist()
    kept = old.split(ending.encode() + b"k8")[1]
    assert new.endswith(kept)
    assert f'"k5"{separator}'.encode() in new


def test_numbers_are_written_as_the_file_writes_them(tmp_path):
    source = tmp_path / "data.csv"
    source.write_text("x,y\n" + "".join(f"{i}.50,{i % 2}.0\n" for i in range(20)))
    run = fitted(source, tmp_path / "run", label="y")
    clean(run, decide(run, (0, "1")), tmp_path / "clean.csv")
    assert (tmp_path / "clean.csv").read_text() == source.read_text().replace("0.50,0.0\n", "0.50,1.0\n", 1)


def test_a_parquet_table_keeps_types_and_metadata(tmp_path):
    frame = rows()
    names = sorted({"ant", "bee", "cow"})
    features = {"features": {"label": {"names": names, "_type": "ClassLabel"}, "x": {"dtype": "float64"}}}
    table = pa.table(
        {
            "x": pa.array(frame["x"].astype("float32")),
            "label": pa.array([i % 3 for i in range(24)], type=pa.int16()),
            "when": pa.array(list(range(24)), type=pa.timestamp("us")),
            "list": pa.array([[i, None] for i in range(24)]),
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": features}), "mine": "kept"})
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=7)
    elr.fit(tmp_path / "data.parquet", out=tmp_path / "run", label="label", config=QUICK)
    run = tmp_path / "run"
    clean(run, decide(run, (0, "1"), (23, "1")), tmp_path / "clean.parquet")
    old, new = pq.read_table(tmp_path / "data.parquet"), pq.read_table(tmp_path / "clean.parquet")
    assert new.schema.equals(old.schema, check_metadata=True)
    assert new.column("label").to_pylist() == [1, *[i % 3 for i in range(1, 23)], 1]
    assert new.drop_columns(["label"]).equals(old.drop_columns(["label"]))


def test_images_in_parquet_have_names_for_numbers(tmp_path):
    names = ["ant", "bee"]
    features = {"features": {"label": {"names": names, "_type": "ClassLabel"}}}
    images = [{"bytes": picture(seed), "path": None} for seed in range(8)]
    table = pa.table({"img": images, "label": [0, 1] * 4})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": features})})
    pq.write_table(table, tmp_path / "data.parquet")
    run = fitted(tmp_path / "data.parquet", tmp_path / "run", label="label")
    clean(run, decide(run, (0, "bee")), tmp_path / "clean.parquet")
    new = pq.read_table(tmp_path / "clean.parquet")
    assert new.column("label").to_pylist() == [1, 1, 0, 1, 0, 1, 0, 1]
    assert new.column("img").equals(table.column("img"))
    assert new.schema.equals(table.schema, check_metadata=True)


def picture(seed: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_a_dictionary_column_of_parquet(tmp_path):
    frame = rows().assign(y=lambda frame: frame["y"].astype("category"))
    frame.to_parquet(tmp_path / "data.parquet", row_group_size=5)
    run = fitted(tmp_path / "data.parquet", tmp_path / "run", label="y", id="key")
    clean(run, decide(run, (0, NAMES[3])), tmp_path / "clean.parquet")
    new = pd.read_parquet(tmp_path / "clean.parquet")
    assert new["y"].tolist() == [NAMES[3], *frame["y"].tolist()[1:]]
    assert new.dtypes.equals(frame.dtypes)


def test_arrays_keep_what_is_beside_the_labels(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(20, 3)), np.array(["a", "bb"] * 10)
    odd = np.array([{"pickled": 1}], dtype=object)
    np.savez(tmp_path / "data.npz", x=x, y=y, odd=odd)
    run = fitted(tmp_path / "data.npz", tmp_path / "run", label="y", ignore=("odd",))
    clean(run, decide(run, (2, "bb"), (3, "bb")), tmp_path / "clean.npz")
    with np.load(tmp_path / "clean.npz") as new:
        assert new["y"].tolist() == ["a", "bb", "bb", *["bb", "a"] * 8, "bb"]
        assert new["y"].dtype == y.dtype
        assert np.array_equal(new["x"], x)
    old, new = zipfile.ZipFile(tmp_path / "data.npz"), zipfile.ZipFile(tmp_path / "clean.npz")
    with old, new:
        assert new.read("odd.npy") == old.read("odd.npy")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.arange(20) % 2)
    run = fitted(tmp_path / "x.npy", tmp_path / "run-2", label=str(tmp_path / "y.npy"))
    clean(run, decide(run, (0, "1")), tmp_path / "clean.npy")
    assert np.load(tmp_path / "clean.npy").tolist() == [1, 1, *[0, 1] * 9]


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog, big"):
        for number in range(8):
            path = tmp_path / "photos" / name / "sub" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    (tmp_path / "photos" / "cat" / "notes.txt").write_text("kept")
    outside = tmp_path / "outside"
    outside.mkdir()
    Image.new("RGB", (16, 16)).save(outside / "linked.png")
    (tmp_path / "photos" / "cat" / "more").symlink_to(outside)
    (tmp_path / "photos" / "up").symlink_to(tmp_path / "photos")
    return tmp_path / "photos"


def test_images_move_to_the_folder_of_their_class(tmp_path, photos):
    run = fitted(photos, tmp_path / "run", nested=True)
    before = digest(tmp_path / "photos" / "cat") | digest(tmp_path / "outside")
    issues = pd.read_csv(run / "issues.csv").set_index("id")["row"]
    moved = [int(issues[name]) for name in ("cat/sub/3.png", "cat/more/linked.png")]
    clean(run, decide(run, *((row, "dog, big") for row in moved)), tmp_path / "clean")
    assert digest(tmp_path / "photos" / "cat") | digest(tmp_path / "outside") == before
    new = tmp_path / "clean"
    names = {path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file()}
    expected = {f"{name}/sub/{number}.png" for name in ("cat", "dog, big") for number in range(8)} | {"cat/notes.txt"}
    assert names == expected - {"cat/sub/3.png"} | {"dog, big/sub/3-2.png", "dog, big/more/linked.png"}
    assert (new / "dog, big/sub/3-2.png").read_bytes() == (photos / "cat/sub/3.png").read_bytes()
    assert not any(path.is_symlink() for path in new.rglob("*"))


# What is refused


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    rows().to_csv(folder / "data.csv", index=False)
    return fitted(folder / "data.csv", folder / "run", label="y", id="key")


HEADER = "row,id,given_label,decision,label\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns"),
        ("row,label\n", "expected row,id,given_label,decision,label"),
        (HEADER + "3,k3\n", "line 2 of .* has 2 cells"),
        (HEADER + "x,k3,a,keep,a\n", "line 2 of .* has row 'x'"),
        (HEADER + "-1,k3,a,keep,a\n", "line 2 of .* has row '-1'"),
        (HEADER + f"3,k3,{NAMES[3]},maybe,{NAMES[3]}\n", "decision 'maybe': expected accept, keep, relabel"),
        (HEADER + f"99,k99,{NAMES[3]},keep,{NAMES[3]}\n", "row 99, which the run in .* was not trained on"),
        (HEADER + "3,k3,a,keep,a\n", "line 2 of .* given label 'a' for row 3, the run in .* was trained with"),
        (HEADER + f"3,k4,{NAMES[3]},keep,{NAMES[3]}\n", "names row 3 'k4', the run in .* 'k3'"),
        (HEADER + f"3,k3,{NAMES[3]},relabel,bird\n", "label 'bird': expected a class of the run"),
        (HEADER + f'3,k3,{NAMES[3]},keep," +cat\'\t"\n', "says keep, but has label"),
        (HEADER + f"\n3,k3,{NAMES[3]},keep,{NAMES[3]}\n" * 2, "line 5 of .* decides on row 3 again, after line 3"),
        (HEADER + '3,"k3\n', "is damaged"),
    ],
)
def test_decisions_that_do_not_fit_are_refused_with_their_line(done, tmp_path, text, message):
    (tmp_path / "d.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        clean(done, tmp_path / "d.csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_out_is_never_overwritten_nor_inside_the_data(done, tmp_path, photos):
    decisions = decide(done, (3, NAMES[0]))
    with pytest.raises(OutputError, match="exists already"):
        clean(done, decisions, done.parent / "data.csv")
    with pytest.raises(OutputError, match=r"ends in '\.tsv'"):
        clean(done, decisions, tmp_path / "out.tsv")
    run = fitted(photos, tmp_path / "run", nested=True)
    with pytest.raises(OutputError, match="lies inside the data"):
        clean(run, decide(run), photos / "clean")
    with pytest.raises(OutputError, match="cannot write"):
        clean(done, decisions, tmp_path / "absent" / "out.csv")


def test_data_that_changed_or_moved(done, tmp_path):
    decisions = decide(done, (3, NAMES[0]))
    with pytest.raises(DataError, match="no such file"):
        clean(done, decisions, tmp_path / "out.csv", data=tmp_path / "absent.csv")
    rows().iloc[1:].to_csv(tmp_path / "shifted.csv", index=False)
    with pytest.raises(DataError, match=r"23 rows .* on 24; row 0 \('k0'\) is not there .* the data have changed"):
        clean(done, decisions, tmp_path / "out.csv", data=tmp_path / "shifted.csv")
    rows().to_csv(tmp_path / "moved.csv", index=False)
    assert clean(done, decisions, tmp_path / "out.csv", data=tmp_path / "moved.csv").num_changed == 1


def test_labels_of_several_annotators_are_nothing_to_correct(tmp_path):
    frame = rows(names=["a", "b"])
    frame.assign(z=frame["y"]).to_csv(tmp_path / "data.csv", index=False)
    elr.fit(tmp_path / "data.csv", out=tmp_path / "run", options=ReadOptions(annotators=("y", "z")), config=QUICK)
    with pytest.raises(DataError, match="there is no one label of a row to correct"):
        clean(tmp_path / "run", tmp_path / "decisions.csv", tmp_path / "out.csv")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "have labels of several annotators" in page
    assert "Write a corrected copy" not in page


def test_so_they_are_where_a_table_has_them(tmp_path):
    rows(names=["a", "b"]).drop(columns="y").to_csv(tmp_path / "data.csv", index=False)
    given = [f"{row},{name},{'ab'[row % 2]}" for row in range(24) for name in ("ann", "bob")]
    (tmp_path / "votes.csv").write_text("\n".join(["row,annotator,label", *given, ""]))
    run = fitted(tmp_path / "data.csv", tmp_path / "run", annotations=str(tmp_path / "votes.csv"))
    with pytest.raises(DataError, match="there is no one label of a row to correct"):
        clean(run, decide(run, (0, "b")), tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_runs_without_a_file_of_given_labels_are_refused(tmp_path):
    rows(names=["a", "b"]).to_csv(tmp_path / "data.csv", index=False)
    noisy, memory = tmp_path / "noisy", tmp_path / "memory"
    elr.fit(tmp_path / "data.csv", out=noisy, label="y", noise=("symmetric", 0.2), config=QUICK)
    with pytest.raises(DataError, match="corrupted or replaced for an experiment"):
        clean(noisy, tmp_path / "d.csv", tmp_path / "out.csv")
    elr.fit(rows(names=["a", "b"]), out=memory, label="y", config=QUICK)
    with pytest.raises(DataError, match="in memory"):
        clean(memory, tmp_path / "d.csv", tmp_path / "out.csv")
    assert clean(memory, decide(memory, (0, "b")), tmp_path / "o.csv", data=tmp_path / "data.csv").num_changed == 1
    with pytest.raises(ArtifactError, match="not a folder"):
        clean(tmp_path / "absent", tmp_path / "d.csv", tmp_path / "out.csv")


def test_what_lies_in_the_place_of_the_data_is_told(done, tmp_path, photos):
    decisions = decide(done, (3, NAMES[0]))
    with pytest.raises(DataError, match=r"photos is a folder, the run was trained on a file: name that with --data"):
        clean(done, decisions, tmp_path / "out.csv", data=photos)
    run = fitted(photos, tmp_path / "run", nested=True)
    with pytest.raises(DataError, match=r"data\.csv is a file, the run was trained on a folder of images"):
        clean(run, decide(run), tmp_path / "out", data=done.parent / "data.csv")
    (tmp_path / "data.doc").write_text("x")
    with pytest.raises(DataError, match=r"ends in '\.doc': expected .*\.csv.*, or a folder of images"):
        clean(done, decisions, tmp_path / "out.csv", data=tmp_path / "data.doc")


def test_a_row_number_is_one_that_a_table_can_have(done, tmp_path):
    for digits, words in ((18, "row 1{18}, which the run in .* was not trained on"), (19, "has row '1{19}': expected")):
        (tmp_path / "d.csv").write_text(HEADER + f"{'1' * digits},,a,keep,a\n")
        with pytest.raises(DataError, match=words):
            clean(done, tmp_path / "d.csv", tmp_path / "out.csv")


def test_a_label_of_two_lines_is_read_as_it_was_exported(done, tmp_path):
    clean(done, decide(done, (0, NAMES[1])), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as lines:
        assert [line[2] for line in csv.reader(lines)][1] == NAMES[1]


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n"])
def test_a_name_of_two_lines_is_that_of_its_row(tmp_path, ending):
    frame = rows(names=["a", "b"]).assign(key=[f"k{ending}{row}" for row in range(24)])
    frame.to_csv(tmp_path / "data.csv", index=False, quoting=csv.QUOTE_NONNUMERIC)
    run = fitted(tmp_path / "data.csv", tmp_path / "run", label="y", id="key")
    decisions = tmp_path / "decisions.csv"
    decisions.write_bytes(f'{HEADER}3,"k{ending}3",b,relabel,a\n'.encode())
    assert clean(run, decisions, tmp_path / "out.csv").num_changed == 1
    decisions.write_bytes(f'{HEADER}3,"k{ending}4",b,relabel,a\n'.encode())
    with pytest.raises(DataError, match="names row 3 "):
        clean(run, decisions, tmp_path / "out-2.csv")


def test_an_image_that_is_gone_is_told(tmp_path, photos):
    run = fitted(photos, tmp_path / "run", nested=True)
    row = int(pd.read_csv(run / "issues.csv").set_index("id")["row"]["cat/sub/3.png"])
    decisions = decide(run, (row, "dog, big"))
    (photos / "cat/sub/3.png").rename(photos / "cat/sub/3b.png")
    with pytest.raises(DataError, match=rf"row {row} of .* is not there or is another image"):
        clean(run, decisions, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_class_that_no_image_has_any_more_cannot_be_given(tmp_path, photos):
    run = fitted(photos, tmp_path / "run", nested=True)
    row = int(pd.read_csv(run / "issues.csv").set_index("id")["row"]["cat/sub/3.png"])
    decisions = decide(run, (row, "dog, big"))
    shutil.rmtree(photos / "dog, big")
    with pytest.raises(DataError, match=r"photos has no folder 'dog, big' any more: it has changed since the run"):
        clean(run, decisions, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.fixture
def parts(tmp_path):
    """A run on a folder of two tables, decisions on it, and the labels that the copy must have."""
    (tmp_path / "parts").mkdir()
    frame = rows(names=["a", "b"])
    for number in range(2):
        frame[12 * number : 12 * number + 12].to_csv(tmp_path / "parts" / f"part-{number}.csv", index=False)
    run = fitted(tmp_path / "parts", tmp_path / "run", label="y")
    return run, decide(run, (0, "b"), (13, "a")), ["b", "b", *["a", "b"] * 5, "a", "a", *["a", "b"] * 5]


def test_what_a_killed_clean_of_a_folder_left_is_no_part_of_the_copy(tmp_path, parts):
    run, decisions, expected = parts
    (tmp_path / ".clean.partial" / "old").mkdir(parents=True)
    for name in ("part-2.csv", "old/part-3.csv"):
        (tmp_path / ".clean.partial" / name).write_text("key,x,y,code\nk,1,a,0\n")
    assert clean(run, decisions, tmp_path / "clean").num_changed == 2
    names = sorted(path.name for path in (tmp_path / "clean").iterdir())
    assert names == ["part-0.csv", "part-1.csv"]
    assert pd.concat(pd.read_csv(tmp_path / "clean" / name) for name in names)["y"].tolist() == expected
    assert not (tmp_path / ".clean.partial").exists()


def test_a_link_where_the_copy_of_a_folder_is_made_is_not_followed(tmp_path, parts):
    run, decisions, _ = parts
    (tmp_path / "theirs").mkdir()
    (tmp_path / ".clean.partial").symlink_to(tmp_path / "theirs")
    clean(run, decisions, tmp_path / "clean")
    assert not (tmp_path / "clean").is_symlink()
    assert list((tmp_path / "theirs").iterdir()) == []


def test_a_folder_whose_copy_has_other_labels_than_decided_is_refused(tmp_path, parts, monkeypatch):
    run, decisions, _ = parts
    write = PartsFolder.write_corrected

    def disturbed(self, source, *arguments):
        """Someone writes the data anew while they are copied."""
        path = source / "part-1.csv"
        path.write_text(path.read_text().replace(",a,", ",b,"))
        write(self, source, *arguments)

    monkeypatch.setattr(PartsFolder, "write_corrected", disturbed)
    with pytest.raises(DataError, match="parts cannot be corrected cell by cell: its rows are not what they seem"):
        clean(run, decisions, tmp_path / "clean")
    assert not (tmp_path / "clean").exists()
    assert not (tmp_path / ".clean.partial").exists()


# The commands


def test_clean_and_report_from_the_shell(done, tmp_path):
    decisions = decide(done, (3, NAMES[0]), (2, NAMES[2]))
    result = CliRunner().invoke(
        app, ["clean", str(done), "--decisions", str(decisions), "--out", str(tmp_path / "c.csv"), "--json"]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"out": str(tmp_path / "c.csv"), "num_decisions": 2, "num_changed": 1}
    page = (done / "report.html").read_bytes()
    result = CliRunner().invoke(app, ["report", str(done)])
    assert result.exit_code == 0, result.output
    assert (done / "report.html").read_bytes() == page
    result = CliRunner().invoke(app, ["report", str(done), "--out", str(decisions)])
    assert result.exit_code == 2
    assert "exists already" in result.output


def test_a_report_without_or_with_damaged_data(done, tmp_path):
    stored = (done / "report.json").read_text()
    (done / "report.json").unlink()
    result = CliRunner().invoke(app, ["report", str(done)])
    assert result.exit_code == 2
    assert "stopped before its report was written; repeat its command with --resume" in result.output
    damaged = ["", "[]", "{}", stored[:-30], stored.replace('"title": "', '"title": 7, "t": "')]
    damaged += [stored.replace('"suspects": [', '"suspects": [3, '), stored.replace('"settings": {', '"settings": [{')]
    for text in damaged:
        (done / "report.json").write_text(text)
        result = CliRunner().invoke(app, ["report", str(done)])
        assert result.exit_code == 2, result.output
        assert "report.json is damaged" in result.output.replace("\n", "")
    (done / "report.json").write_text(stored)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_each_spelling_of_a_class_is_corrected_in_its_own(tmp_path, suffix):
    spellings = ["1", "1.0", "True", "0", "0.0", "False", "other", "other "]
    table = rows(32).assign(y=spellings * 4)
    old, new = tmp_path / f"t.{suffix}", tmp_path / f"new.{suffix}"
    if suffix == "csv":
        table.to_csv(old, index=False)
    else:
        table.to_json(old, orient="records", lines=True)
    run = fitted(old, tmp_path / "run", label="y")
    decisions = tmp_path / "decisions.csv"
    lines = ["row,id,given_label,decision,label", "1,,1,relabel,0", "6,,other ,relabel,True", "0,,1.0,keep,1"]
    decisions.write_text("\n".join(lines) + "\n")
    done = clean(run, decisions, new)
    assert done.num_changed == 2
    before, after = (old.read_text().splitlines(), new.read_text().splitlines())
    first = suffix == "csv"
    assert [row for row in range(32) if before[row + first] != after[row + first]] == [1, 6]
