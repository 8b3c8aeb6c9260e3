"""Export files: read, written, signed and listed; one module each. `export.proto` is the format's schema."""
