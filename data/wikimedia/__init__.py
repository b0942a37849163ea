"""Wikimedia sites: live pages, crawls, dumps, clickstreams and the vital articles."""
