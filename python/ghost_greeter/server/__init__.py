"""What is asked of the server beside the load: its figures, its count of visitors, a first look."""
