"""Who enters which campaign, and why not."""
