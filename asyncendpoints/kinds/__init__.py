"""The built-in kinds, a file for each family: its specs, and how each opens."""
