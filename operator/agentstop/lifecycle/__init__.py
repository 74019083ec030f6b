"""Pure decisions: (task, what was seen of its workload, now) -> (status to write, effects to carry out)."""
