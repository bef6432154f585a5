"""What is released: the packages, and what of them is public."""
