"""What a browser shows: layouts, and the callbacks that keep them up to date."""
