"""The tracer daemon and its person's commands."""
