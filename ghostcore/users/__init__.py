"""The virtual user: what a script is given, and the slot that runs it."""
