"""The seed hypothesis: part of what a transformer learns is an implicit knowledge graph. Three questions test it.

`transfer`: does learning a topic lower the loss of linked topics more than that of unlinked topics that are as
similar? `order`: is a curriculum that follows links better than the same lessons shuffled? `recall`: do learners come
to know the topics next to the learned ones before they read about them? `suite` asks all three.
"""
