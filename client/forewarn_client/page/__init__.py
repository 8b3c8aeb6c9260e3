"""The person's page: what the commands tell and do, in a browser on this machine or behind a badge's USB link."""
