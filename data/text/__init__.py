"""Text into corpora: links found by mention, places of links, plain text, and the build of a corpus."""
