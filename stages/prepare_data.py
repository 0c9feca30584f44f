"""Decode and resize every image once; decide which is for training, validation and test."""
