"""Fine-tune T5 with Compacter (Karimi Mahabadi et al., NeurIPS 2021) under PyTorch Lightning."""

__version__ = "0.1.0"
