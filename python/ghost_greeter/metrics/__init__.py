"""What the suite records beside ghostcore's own metrics: one module a subject, each metric once."""
