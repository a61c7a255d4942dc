"""Tests with programs that others wrote."""
