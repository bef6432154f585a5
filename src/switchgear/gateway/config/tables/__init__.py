"""Every key of a configuration, in one declarative table; defaults are those of the model."""
