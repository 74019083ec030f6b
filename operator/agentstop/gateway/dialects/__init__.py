"""The APIs that the gateway speaks: one module each, and one line in the registry."""
