"""The examples of other libraries' READMEs, ported by the tables of the pages on moving over."""
