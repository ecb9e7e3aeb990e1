"""What ghostcore is measured against."""
