"""HTTP clients with circuits, against real servers that fail on command."""
