"""Tests of the playground's controllers."""
