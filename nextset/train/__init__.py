"""Training: one loop for generators and tokenizers, on one device or many."""
