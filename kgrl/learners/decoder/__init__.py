"""Decoder learners: small models taught from scratch, and pretrained ones with LoRA."""
