"""What the Hugging Face library `datasets` has in memory."""
