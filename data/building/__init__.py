"""Building of corpus folders from raw text: documents, topics, links, categories."""
