"""One module a kind of workload. Which one speaks for which kind is in the registry."""
