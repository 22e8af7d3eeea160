"""Forms in which an audit is told: lines of a table, pairs of classes, the tables of cleanlab."""
