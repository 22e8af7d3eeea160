"""AlleNoise in the published layout, in a few lines."""

import pandas as pd

CATEGORIES = [
    (100076, "Allegro > Culture and Entertainment > Movies > DVDs > Anime"),
    (10246, "Allegro > Collections and Art > Lower Silesia > Kłodzko Valley (Glatz)"),
    (11068, "Allegro > Fashion > Umbrellas"),
]
ROWS = [  # offer, title, clean, given
    (7, "Spirited Away DVD", 100076, 100076),
    (8, 'Umbrella 23" "Fiamma"', 11068, 10246),
    (9, "Widokówka Kłodzko\nz obiegu", 10246, 10246),
    (10, "зонт 雨傘 ☂", 11068, 11068),
    (11, "NA", 11068, 100076),
    (12, "", 10246, 10246),
    (13, "tab\there", 100076, 100076),
]
HEADER = ("offer_id", "text", "clean_category_id", "noisy_category_id")


def write_titles(path, rows=ROWS, columns=HEADER):
    pd.DataFrame(rows, columns=columns).to_csv(path, sep="\t", index=False)


def make(root, *, rows=ROWS, categories=CATEGORIES):
    """As published: files called .csv, separated by tabs."""
    root.mkdir(parents=True, exist_ok=True)
    write_titles(root / "full_dataset.csv", rows)
    pd.DataFrame(categories, columns=["category_label", "category_name"]).to_csv(
        root / "category_mapping.csv", sep="\t", index=False
    )
    return root
