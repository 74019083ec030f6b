"""Tests of the models and the CRDs."""
