"""The pages of the console, one noun a file; each function takes a Visit and gives a Response."""
