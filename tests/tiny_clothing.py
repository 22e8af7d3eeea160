"""A made Clothing1M of a few dozen images in the published layout."""

import numpy as np
from PIL import Image

SHADES = np.random.default_rng(5).integers(30, 220, size=(14, 3))


def write_clothing(root, *, train=56, clean=14, lists=".", side=40, images="images"):
    """Noisy and clean images by turns of 14 classes; half of the clean training images have a noisy label as well.

    Returns: {list name: its lines}.
    """
    rng = np.random.default_rng(0)
    noisy, by_people, files = {}, {}, []

    def make(number, label):
        key = f"images/{number % 10}/{number % 7}/{number:010d},{number * 31}.jpg"
        path = root / images / key.removeprefix("images/")
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(SHADES[label] + rng.integers(-20, 21, (side, side + 10, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path)
        files.append(path)
        return key

    keys = []
    for number in range(train):
        label = number % 14
        keys.append(make(number, label))
        noisy[keys[-1]] = (label + 1) % 14 if number % 4 == 0 else label
    parts = {}
    for place, part in enumerate(("train", "val", "test")):
        parts[part] = []
        for number in range(clean):
            label = number % 14
            key = make(10_000 * (place + 1) + number, label)
            parts[part].append(key)
            by_people[key] = label
            if part == "train" and number % 2 == 0:
                noisy[key] = label if number % 4 == 0 else (label + 1) % 14
    content = {
        "noisy_train_key_list.txt": keys,
        "noisy_label_kv.txt": [f"{key} {label}" for key, label in noisy.items()],
        "clean_label_kv.txt": [f"{key} {label}" for key, label in by_people.items()],
        **{f"clean_{part}_key_list.txt": names for part, names in parts.items()},
        "category_names_eng.txt": [f"class {number}" for number in range(14)],
    }
    (root / lists).mkdir(parents=True, exist_ok=True)
    for name, lines in content.items():
        (root / lists / name).write_text("".join(f"{line}\n" for line in lines))
    return content
