"""Pure betting rules: no I/O, no clock, no environment, no randomness, no float."""
