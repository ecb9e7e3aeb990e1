"""What the simulated server answers over HTTP: health, metrics, configuration, its control."""
