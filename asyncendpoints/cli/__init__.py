"""The command line. Needs the packages of the extra ``cli``: click and rich."""
