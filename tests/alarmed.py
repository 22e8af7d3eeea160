"""Models that are sure of what they say, and the alarms that an audit raises over them."""

import numpy as np

from elr.audit.alarms import find_alarms
from elr.audit.label_quality import audit_labels

NAMES = ["cat", "dog", "eel"]


def probs_sure_of(predicted, classes, of=0.97):
    probs = np.full((len(predicted), classes), (1 - of) / (classes - 1))
    probs[np.arange(len(predicted)), predicted] = of
    return probs


def alarms_by_kind(labels, probs, *, out_of_fold):
    audit = audit_labels(labels, probs, out_of_fold=out_of_fold)
    return {alarm.kind: alarm for alarm in find_alarms(audit, NAMES[: probs.shape[1]])}
