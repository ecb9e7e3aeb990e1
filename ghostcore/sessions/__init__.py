"""One connection as a scenario sees it, and whom it reports to."""
