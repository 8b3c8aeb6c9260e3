"""The diary: what this device heard and said, encrypted with a key per UTC day, forgotten by destroying that key."""
