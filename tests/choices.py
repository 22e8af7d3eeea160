"""How a run chose its settings, as run.json and the report have it, for tests."""


def candidate(setting, epoch, score, *, chosen=False):
    return {
        "setting": setting,
        "epoch": epoch,
        "agreement": score,
        "balanced_agreement": score,
        "score": score,
        "behind": round(0.6 - score, 3),
        "standard_error": 0.0 if score == 0.6 else 0.02,
        "chosen": chosen,
    }


def a_choice():
    """Of twelve settings at two epochs, one is kept at both and another at the last."""
    settings = [{"text": f"lam {place}", "curve": [[5, 0.3], [10, 0.4 + place / 100]]} for place in range(12)]
    candidates = [candidate(place, epoch, 0.4 + place / 100) for epoch in (5, 10) for place in range(12)]
    candidates[7] = candidate(7, 5, 0.59, chosen=True)
    candidates[12 + 7] = candidate(7, 10, 0.6, chosen=True)
    candidates[12 + 2] = candidate(2, 10, 0.595, chosen=True)
    return {"text": "Settings: lam 7", "settings": settings, "candidates": candidates}
