"""Tests of the simulated events."""
