"""The kinds of log that can be read, a module each: from lines to calls by key."""
