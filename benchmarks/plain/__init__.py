"""The other contestants: each system as one writes it in plain torch for one paper, on the weights of one of our networks.

Every module has a class that is made of a `Network` and has `generate(labels, scale)`: the likeliest tokens (B, N) by site, guided
by u + scale (c - u) as the system guides; where tokens are drawn from noise that is given as well.
"""
