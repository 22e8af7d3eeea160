"""What several ranks do to compute as one process does on the whole batch."""

from elr.training.ranks.whole_batch import WholeBatch as WholeBatch
