"""Published weights: one file a family, which turns official names of tensors into ours and back."""
