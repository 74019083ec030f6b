"""Faults at every single place: a proxy between an operator and its API server breaks one thing at a time."""
