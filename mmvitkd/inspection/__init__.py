"""Any ViT looked into: what its layers yield, figures of it, and advice by it."""
