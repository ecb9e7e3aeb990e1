"""What a run leaves behind, and the files that it is saved as: data without a runner."""
