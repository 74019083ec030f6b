"""What people are told of tasks: sentences and times, from raw objects. Pure, and imported quickly."""
