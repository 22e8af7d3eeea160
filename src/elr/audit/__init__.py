"""Which given labels the evidence contradicts, for people and for other tools."""

from elr.audit.labels import Audit as Audit
from elr.audit.labels import audit_labels as audit_labels
from elr.audit.labels import score_suspects as score_suspects
