"""What there is to measure about circuits, whoever publishes it: names, counts, and how things stand now."""
