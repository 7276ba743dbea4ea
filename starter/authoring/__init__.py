"""What helps to write a campaign before anything of it runs."""
