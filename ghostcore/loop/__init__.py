"""What is done to one event loop: its timer queue, awaitables, stepping, and how late it is."""
