"""A module for each format that a configuration can be written in: text to tree.

Each has `parse(text, report) -> Node | None`: `None` when nothing is written there; what is no legal text of
the format raises `UnreadableError`, duplicate keys are told to the report and do not end the reading. None of
them recurses on what it reads.
"""
