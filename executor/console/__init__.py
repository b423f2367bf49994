"""The web console and the HTTP API: one process, thin over the same reads and acts as the commands."""
