"""What the columns of a table hold: chosen in training, kept with the run, and read so in all later data."""
