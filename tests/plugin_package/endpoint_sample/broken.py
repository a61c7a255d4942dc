"""A module that cannot be imported."""

msg = "no turbo encabulator"
raise RuntimeError(msg)
