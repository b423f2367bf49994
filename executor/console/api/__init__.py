"""The HTTP API under `/api`, a file a resource."""
