"""Tests of the decisions: random histories in a small world, and tables."""
