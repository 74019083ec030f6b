"""The Helm chart: rendered, and installed on a real API server."""
