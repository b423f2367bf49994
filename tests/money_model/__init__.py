"""Random histories of an account's money, and what must agree at their end: `make money-model`."""
