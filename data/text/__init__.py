"""Text: plain text of articles, links found by mention and their places, and the build of a corpus."""
