"""The Exchange Stream API: what clients subscribe to over TLS, one JSON object a line."""
