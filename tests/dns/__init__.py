"""The tests of DNS, by module."""
