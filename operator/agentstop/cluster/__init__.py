"""The only input and output: the API server behind one gateway, caches of small records, and the keyed queue."""
