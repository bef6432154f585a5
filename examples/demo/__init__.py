"""The gateway in front of three services that fail on a schedule: `python -m examples.demo --for 20s`."""
