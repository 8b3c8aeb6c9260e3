"""What every Forewarn command shares with the world outside the protocol: the clock, files, the command line."""
