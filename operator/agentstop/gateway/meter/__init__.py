"""The meter: takes in what agents spend, as others saw it, and adds it up in their tasks' TaskUsage."""
