"""Tests of the gateway, the caches and the queue."""
