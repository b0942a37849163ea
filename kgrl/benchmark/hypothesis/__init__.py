"""The seed hypothesis: part of what a transformer learns is an implicit knowledge graph. Three questions about it.

`transfer`: does learning a topic lower the loss of topics linked to it more than that of others as similar? `order`: is
a curriculum that follows links better than the same lessons shuffled? `recall`: do learners come to know the topics
next to what they learned before they read about them? `suite` asks them all.
"""
