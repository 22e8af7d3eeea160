"""For people who train with other tools: each module imports its tool itself, and only when it is used."""
