"""Kinds of endpoints as a third party writes them."""
