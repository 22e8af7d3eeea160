"""Which given labels the evidence contradicts, for people and for other tools."""

from elr.audit.calling.callable_package import CallablePackage as CallablePackage
from elr.audit.label_quality import Audit as Audit
from elr.audit.label_quality import audit_labels as audit_labels
from elr.audit.scoring import score_suspects as score_suspects
