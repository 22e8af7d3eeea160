"""Folders of images as people have them: what else lies there, how they are named, nested and linked."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

from campaign.made_pictures import BLUE, COLORS, RED, counts, encoded, fitted, near, picture, pictures, shown
from campaign.outcomes import accepted, contents, inside, kept, no_leftovers, refused
from campaign.trials import HALF_WRITTEN, LOST, SILENT, UNCLEAR, NotHere, need, trial

BOTH = {"cat": 10, "dog": 10}


def _same(folder: Path, expected: dict[str, int] | None = None) -> None:
    found = counts(folder)
    need(found == (expected or BOTH), SILENT, f"{found} instead of {expected or BOTH}")
    rows = accepted(fitted(folder))["num_examples"]
    need(rows == sum((expected or BOTH).values()), SILENT, f"{rows} rows")


def _remark(folder: Path, word: str) -> None:
    found = accepted(inside("inspect", "d", "--json", folder=folder))
    said = [*found["remarks"], *(each["text"] for each in found["warnings"])]
    need(any(word in each for each in said), SILENT, f"nothing of {word!r} in {said}")


@trial("picture_folders", quick=True)
def what_systems_leave_behind(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    for name in (".DS_Store", "cat/.DS_Store", "cat/._000.png", "dog/Thumbs.db", "dog/desktop.ini", "cat/.hidden.jpg"):
        (root / name).write_bytes(b"\0\0\0\1Bud1")
    (root / "__MACOSX" / "cat").mkdir(parents=True)
    (root / "__MACOSX" / "cat" / "._000.png").write_bytes(b"x")
    for hidden in (".git", ".ipynb_checkpoints", "cat/.ipynb_checkpoints"):
        (root / hidden).mkdir()
        (root / hidden / "1.png").write_bytes(encoded(picture()))
    _same(folder)
    _remark(folder, "2 files left out")


@trial("picture_folders")
def nested_folders_below_the_classes(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    deep = root / "cat" / "2019" / "May"
    deep.mkdir(parents=True)
    (deep / "000.png").write_bytes(encoded(picture()))
    _same(folder, {"cat": 11, "dog": 10})
    _remark(folder, "cat/2019/May/000.png")


@trial("picture_folders")
def one_more_folder_around_all(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    (folder / "outer").mkdir()
    root.rename(folder / "outer" / "d")
    (folder / "outer").rename(root)
    refused(fitted(folder), "d/d", "elr fit d/d", out=folder / "run")


@trial("picture_folders")
def a_class_without_images(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    (root / "owl").mkdir()
    _same(folder)
    _remark(folder, "'owl'")


@trial("picture_folders")
def a_class_of_files_that_are_no_images(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    (root / "owl").mkdir()
    (root / "owl" / "1.heic").write_bytes(b"x")
    _same(folder)
    _remark(folder, "'owl'")


@trial("picture_folders", quick=True)
def a_class_alone(folder: Path, _: random.Random) -> None:
    pictures(folder, names=("cat",))
    refused(fitted(folder), "d", "class", out=folder / "run")


@trial("picture_folders")
def one_image_of_each_class(folder: Path, _: random.Random) -> None:
    pictures(folder, count=1, names=("cat", "dog", "owl"))
    outcome = fitted(folder)
    if outcome.code:
        refused(outcome, "d", out=folder / "run")
    else:
        need(accepted(outcome)["warnings"], SILENT, "three rows of three classes, and not a word of warning")


@trial("picture_folders")
def one_image_of_one_class(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    (root / "owl").mkdir()
    (root / "owl" / "1.png").write_bytes(encoded(picture(COLORS["owl"])))
    refused(fitted(folder), "'owl'", "merge or remove", out=folder / "run")


@trial("picture_folders", quick=True)
def images_beside_the_classes(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    (root / "stray.png").write_bytes(encoded(picture()))
    refused(fitted(folder), "stray.png", out=folder / "run")


@trial("picture_folders")
def files_where_a_class_is_expected(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    (root / "labels.csv").write_text("file,label\n")
    (root / "owl").write_bytes(b"a file without an ending")
    _same(folder)
    _remark(folder, "2 files left out")


@trial("picture_folders")
def folders_and_pipes_called_as_images(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    (root / "cat" / "album.png").mkdir()
    (root / "cat" / "album.png" / "1.png").write_bytes(encoded(picture()))
    os.mkfifo(root / "dog" / "pipe.png")
    _same(folder, {"cat": 11, "dog": 10})


@trial("picture_folders", quick=True)
def two_spellings_of_a_class(folder: Path, _: random.Random) -> None:
    """Cats and cats: whichever it is held for, people are told."""
    root = pictures(folder)
    try:
        (root / "Cat").mkdir()
    except FileExistsError as error:
        raise NotHere("this file system does not tell upper case from lower case") from error
    for number in range(5):
        (root / "Cat" / f"{number}.png").write_bytes(encoded(picture(seed=99 + number)))
    found = counts(folder)
    need(sum(found.values()) == 25, SILENT, f"{found}")
    _remark(folder, "Cat")


@trial("picture_folders", quick=True)
def names_that_are_hard_to_print(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    names = ["a b.png", "ä☃猫.png", "line\nbreak.png", "tab\t.png", "quote'\".png", "\x1b[31mred.png", "#%20?.png"]
    names += ["-rf.png", "\u202egnp.exe.png", "x" * 251 + ".png", "caf\udce9.png", "=1+1.png"]
    for number, name in enumerate(names):
        (root / "dog" / name).write_bytes(encoded(picture(BLUE, seed=70 + number)))
    outcome = fitted(folder)
    need(accepted(outcome)["num_examples"] == 20 + len(names), SILENT, f"{outcome.words}")
    need("\x1b" not in outcome.err + outcome.out, SILENT, "an escape reached the terminal")
    before = contents(root)
    accepted(inside("predict", "run", "d", "--out", "p.csv", "--json", folder=folder))
    accepted(inside("report", "run", folder=folder))
    (root / "dog" / "caf\udce9.png").write_bytes(b"")
    refused(inside("fit", "d", "--epochs", "2", "--out", "run2", folder=folder), r"dog/caf\xe9.png")
    (root / "dog" / "caf\udce9.png").unlink()
    (root / "dog" / "\x1b[31mred.png").write_bytes(b"")
    outcome = refused(inside("fit", "d", "--epochs", "2", "--out", "run3", folder=folder), "red.png")
    need("\x1b" not in outcome.err, SILENT, f"an escape reached the terminal: {outcome.words!r}")
    kept({name: digest for name, digest in before.items() if "caf" not in name and "red" not in name}, root)


@trial("picture_folders")
def classes_named_so(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    (root / "cat").rename(root / "caf\udce9 \n'<b>")
    (root / "dog").rename(root / "-1")
    found = counts(folder)
    need(sorted(found.values()) == [10, 10] and "-1" in found, SILENT, f"{found}")
    accepted(fitted(folder))
    accepted(inside("predict", "run", "d", "--out", "p.csv", folder=folder))
    accepted(inside("audit", "run", "--json", folder=folder))


@trial("picture_folders", quick=True)
def links_that_lead_in_circles(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    (root / "cat" / "again").symlink_to(root, target_is_directory=True)
    (root / "dog" / "self").symlink_to("self")
    (root / "loop").symlink_to(folder, target_is_directory=True)
    _same(folder)


@trial("picture_folders")
def links_to_images_and_to_nowhere(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    (folder / "elsewhere.png").write_bytes(encoded(picture()))
    (root / "cat" / "linked.png").symlink_to(folder / "elsewhere.png")
    _same(folder, {"cat": 11, "dog": 10})
    (root / "cat" / "dead.png").symlink_to("nowhere.png")
    refused(inside("fit", "d", "--epochs", "2", "--out", "run2", folder=folder), "cat/dead.png", out=folder / "run2")
    found = accepted(inside("fit", "d", "--epochs", "2", "--out", "run2", "--skip-unreadable", "--json", folder=folder))
    need(found["num_examples"] == 21, SILENT, f"{found['num_examples']} rows")


@trial("picture_folders")
def a_class_that_is_a_link(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    (root / "dog").rename(folder / "dogs-of-all")
    (root / "dog").symlink_to(folder / "dogs-of-all", target_is_directory=True)
    _same(folder)


@trial("picture_folders", quick=True)
def corrections_into_a_class_that_is_a_link(folder: Path, _: random.Random) -> None:
    """An image that moves must not take the place of one of the same name there."""
    root = pictures(folder, wrong=1)
    (root / "dog").rename(folder / "dogs-of-all")
    (root / "dog").symlink_to(folder / "dogs-of-all", target_is_directory=True)
    before = contents(folder)
    accepted(fitted(folder))
    (folder / "decisions.csv").write_text("row,id,given_label,decision,label\n0,cat/000.png,cat,relabel,dog\n")
    done = accepted(inside("clean", "run", "--decisions", "decisions.csv", "--out", "new", "--json", folder=folder))
    need(done["num_changed"] == 1, SILENT, f"{done}")
    after = contents(folder / "new")
    need(len(set(after.values())) == 20, LOST, f"{len(set(after.values()))} of 20 images are in the copy")
    kept(before, folder)
    no_leftovers(folder)


@trial("picture_folders")
def the_same_image_in_two_classes(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    for number in range(3):
        shutil.copy(root / "cat" / f"00{number}.png", root / "dog" / f"copy{number}.png")
    _same(folder, {"cat": 10, "dog": 13})


@trial("picture_folders")
def many_names_and_a_trailing_slash(folder: Path, _: random.Random) -> None:
    pictures(folder)
    need(
        counts(folder, data="d/") == BOTH and counts(folder, data="./d/../d//") == BOTH, SILENT, "another way to say d"
    )
    (folder / "to d").symlink_to("d", target_is_directory=True)
    need(counts(folder, data="to d") == BOTH, SILENT, "through a link")


@trial("picture_folders")
def an_image_where_a_folder_is_expected(folder: Path, _: random.Random) -> None:
    pictures(folder)
    refused(inside("fit", "d/cat/000.png", "--out", "run", folder=folder), "000.png", out=folder / "run")
    (folder / "empty").mkdir()
    refused(inside("fit", "empty", "--out", "run", folder=folder), "empty", ".png", out=folder / "run")


@trial("picture_folders", quick=True)
def new_data_that_differ_from_training(folder: Path, _: random.Random) -> None:
    """Loose files, other sizes, gray: predictions by name, right where the colors are."""
    pictures(folder, count=20)
    accepted(inside("fit", "d", "--epochs", "40", "--out", "run", "--json", folder=folder))
    (folder / "new").mkdir()
    for name, color, side in (("r.JPG", RED, 40), ("b.webp", BLUE, 7)):
        kind = "JPEG" if name.endswith("JPG") else "WEBP"
        (folder / "new" / name).write_bytes(encoded(picture(color, side=side), kind, quality=95))
    accepted(inside("predict", "run", "new", "--out", "p.csv", "--json", folder=folder))
    lines = [line.split(",")[1:3] for line in (folder / "p.csv").read_text().splitlines()[1:]]
    need(lines == [["b.webp", "dog"], ["r.JPG", "cat"]], SILENT, f"{lines}")
    (folder / "new" / "gone.png").write_bytes(b"")
    refused(inside("predict", "run", "new", "--out", "q.csv", folder=folder), "new/gone.png")
    need(not (folder / "q.csv").exists(), HALF_WRITTEN, "q.csv is there")


@trial("picture_folders")
def images_that_change_size_between(folder: Path, _: random.Random) -> None:
    """All of one size but one: nothing is stretched, the middle is seen."""
    root = pictures(folder)
    wide = picture(RED, side=64).resize((128, 64))
    wide.paste(BLUE, (0, 0, 32, 64))
    wide.paste(BLUE, (96, 0, 128, 64))
    (root / "cat" / "wide.png").write_bytes(encoded(wide))
    near(shown(folder, "cat/wide.png"), RED, "the middle square")


@trial("picture_folders")
def a_folder_that_cannot_be_opened(folder: Path, _: random.Random) -> None:
    if os.geteuid() == 0:
        raise NotHere("root may open every folder")
    root = pictures(folder)
    (root / "dog").chmod(0)
    try:
        refused(fitted(folder), "d/dog", "permission", out=folder / "run")
    finally:
        (root / "dog").chmod(0o755)


@trial("picture_folders")
def splits_given_as_classes(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    for split in ("train", "test"):
        shutil.copytree(root, folder / "splits" / split)
    outcome = inside("fit", "splits", "--out", "run", folder=folder)
    refused(outcome, "splits/train", out=folder / "run")
    need("--test" in outcome.err, UNCLEAR, outcome.words)
