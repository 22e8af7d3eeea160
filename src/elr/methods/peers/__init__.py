"""Methods that ELR is compared to, a file each."""
