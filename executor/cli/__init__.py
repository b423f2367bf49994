"""The `executor` console command, one file per group of commands."""
