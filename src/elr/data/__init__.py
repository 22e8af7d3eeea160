"""What people bring: reading it, checking it, turning it into numbers."""
