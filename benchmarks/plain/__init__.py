"""The other contestants: each system as one writes it in plain torch for one paper, on the weights of one of our networks.

Every module has a class that is made of a `Network` and has `generate(labels, scale, ..., steps)`: the likeliest tokens (B, N) by site,
guided as the system guides, up to u + scale (c - u). `steps` ends the drawing early: sites that are then unknown hold zeros. Where an
order or noise is drawn, it is given as well, lest others be compared. They cost what the systems' repositories spend in eager float32,
but know nothing that a published table holds beyond the sites of an image.
"""
