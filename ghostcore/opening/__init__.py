"""From a URL and options to an open session."""
