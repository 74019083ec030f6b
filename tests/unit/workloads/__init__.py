"""Tests of how pods are read and ended."""
