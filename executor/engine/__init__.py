"""The use-cases, in the order of a signal's life; they know the order of steps and nothing of Celery or Redis."""
