"""Samplers of what is going on while a run is under way: here, of the generator itself."""
