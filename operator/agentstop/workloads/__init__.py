"""One module a kind of workload: how it is observed, started and stopped. Pure functions, no I/O."""
