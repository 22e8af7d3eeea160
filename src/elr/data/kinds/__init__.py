"""What a row is to learn from: one class a kind, of which `elr.data.kinds.catalog.KINDS` is the list."""

from elr.data.kinds.kind import Kind as Kind
