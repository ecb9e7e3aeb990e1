"""What a simulated server is set to: its mode, times, faults, database and built-in agents."""
