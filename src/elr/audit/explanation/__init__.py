"""Why a label is suspect: kept while the data are at hand, told by `elr explain` and by the report."""

from elr.audit.explanation.reading import Explanation as Explanation
from elr.audit.explanation.reading import explain as explain
