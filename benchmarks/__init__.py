"""What is claimed about speed, side by side with what users would use instead, in one run: make bench."""
