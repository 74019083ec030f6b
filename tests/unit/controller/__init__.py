"""Tests of intake, resync, events, metrics and probes."""
