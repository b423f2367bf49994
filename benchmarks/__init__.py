"""`make bench`: how fast the engine is, measured beside bare Celery on the same Redis, exchange and machine."""
