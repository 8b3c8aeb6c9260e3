"""Seals waiting keys into signed files: planning decides, padding hides, batches claims, sealing writes and lists."""
