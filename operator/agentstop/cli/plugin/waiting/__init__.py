"""Waiting for tasks and orders: what is aimed at, how it goes, and when it is enough."""
