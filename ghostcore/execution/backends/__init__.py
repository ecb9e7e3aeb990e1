"""Where workers run. A backend starts them and passes on what they report."""
