"""Celery: one run of a task in Celery's own machinery, and a real worker."""
