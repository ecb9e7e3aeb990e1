"""What a run leaves behind, and its file format: data without a runner."""
