"""The public zone: a folder of signed files that any static host can serve, and the app's own way to serve it."""
