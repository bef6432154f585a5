"""The operator's own listener: health, readiness, metrics."""
