"""The whole system on one machine: private Redis, supervisor, up, demo. Used by commands, tests and benchmarks."""
