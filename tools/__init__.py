"""What makes the repository's generated files, beside the operator's own `agentstop crds`."""
