"""A week in an hour: whether anything grows that should not."""
