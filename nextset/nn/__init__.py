"""Primitives: the small pieces that parts with weights are made of."""
