"""A small world: an API server, a node with its kubelet and processes, people, and the operator in the middle."""
