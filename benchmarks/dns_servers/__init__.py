"""DNS servers to be measured: the programs, their configurations, and what is sent to them."""
