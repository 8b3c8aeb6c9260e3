"""The project's own benchmarks, a module each: figures measured in one run, some of them held to bars."""
