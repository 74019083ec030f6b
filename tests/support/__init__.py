"""Helpers of the integration tests: clusters, operators as processes, and what is seen of them."""
