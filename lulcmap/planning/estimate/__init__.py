"""What making a map will take, before any pixel is read."""
