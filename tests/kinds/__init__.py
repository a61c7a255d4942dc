"""The tests of each kind."""
