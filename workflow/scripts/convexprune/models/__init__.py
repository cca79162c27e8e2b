"""Encoders: load, pretrain, embed, prune, time and export them."""
