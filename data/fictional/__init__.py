"""Fictional Knowledge: invented encyclopaedia articles with cloze questions, which no pretrained model has read."""
