"""The way to a service: connections, their pools, and one attempt."""
