"""The command `calibrate`: two devices on a bench measure how loud one of them speaks and how well it hears."""
